-- one row a training run: what it was made from, how it ended, and the digest of its output
-- Ordered by position, that of run.started, which is unique.
CREATE VIEW runs AS
WITH ended AS (
  SELECT stream, max(position) AS position, arg_max(type, position) AS type,
         arg_max(payload, position) AS payload, arg_max(time_us, position) AS time_us
  FROM entries WHERE type IN ('run.completed/1', 'run.failed/1') GROUP BY stream
)
SELECT
  s.position,
  make_timestamptz(s.time_us)                        AS started,
  make_timestamptz(e.time_us)                        AS finished,   -- NULL: no end was recorded
  s.payload->>'$.run'                                AS run,
  s.payload->>'$.name'                               AS name,
  s.payload->>'$.task'                               AS task,
  CASE e.type WHEN 'run.completed/1' THEN 'completed' WHEN 'run.failed/1' THEN 'failed' ELSE 'open' END AS outcome,
  s.payload->>'$.base'                               AS base,
  s.payload->>'$.base_revision'                      AS base_revision,
  s.payload->>'$.base_digest.sha256'                 AS base_sha256,
  s.payload->>'$.config.sha256'                      AS config_sha256,
  s.payload->>'$.data[*].sha256'                     AS data_sha256,   -- a list
  e.payload->>'$.digest.sha256'                      AS output_sha256,
  TRY_CAST(e.payload->>'$.steps' AS BIGINT)          AS steps,
  e.payload->>'$.last_loss'                          AS last_loss,
  e.payload->>'$.error'                              AS error,
  s.command                                          AS command_id,
  lower(hex(s.hash))                                 AS hash
FROM entries AS s LEFT JOIN ended AS e ON e.stream = s.stream
WHERE s.type = 'run.started/1'
ORDER BY s.position;
