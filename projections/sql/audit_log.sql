-- one row a command: who ran what, when, and how it ended
-- Ordered by position, that of command.started, which is unique. `open`: no end is recorded, so it was killed or is running.
CREATE VIEW audit_log AS
WITH started AS (
  SELECT * FROM entries WHERE type = 'command.started/1'
), finished AS (
  SELECT * FROM entries WHERE type = 'command.finished/1'
  QUALIFY row_number() OVER (PARTITION BY stream ORDER BY position) = 1
)
SELECT
  s.position,
  make_timestamptz(s.time_us)                              AS time,
  s.payload->>'$.command'                                  AS command,
  -- as one would type it in a shell; an argument that is not UTF-8 stands as base64:...
  array_to_string(list_transform(
    json_extract(s.payload, '$.argv[*]'),
    lambda argument: CASE
      WHEN json_type(argument) = 'OBJECT' THEN 'base64:' || (argument->>'$.base64')
      WHEN regexp_full_match(argument->>'$', '[A-Za-z0-9_@%+=:,./-]+') THEN argument->>'$'
      ELSE '''' || replace(argument->>'$', '''', '''"''"''') || ''''
    END), ' ')                                             AS argv,
  CASE
    WHEN f.position IS NULL THEN 'open'
    WHEN TRY_CAST(f.payload->>'$.exit_code' AS INTEGER) = 0 THEN 'done'
    ELSE 'failed'
  END                                                      AS outcome,
  TRY_CAST(f.payload->>'$.exit_code' AS INTEGER)           AS exit_code,
  TRY_CAST(f.payload->>'$.duration_us' AS BIGINT) // 1000  AS duration_ms,
  f.payload->>'$.error'                                    AS error,
  TRY_CAST(s.payload->>'$.operator.uid' AS BIGINT)         AS uid,
  s.payload->>'$.operator.user'                            AS operator,  -- NULL: the system knows no name for the uid
  (s.payload->'$.operator.claimed')::JSON                  AS claimed,  -- by the environment; nobody checked it
  s.payload->>'$.process.host'                             AS host,
  TRY_CAST(s.payload->>'$.process.pid' AS BIGINT)          AS pid,
  s.payload->>'$.directory'                                AS directory,
  s.payload->>'$.soup_version'                             AS soup_version,
  (coalesce(list_sum(TRY_CAST(json_extract(s.payload, '$.redactions.*') AS BIGINT[])), 0)
   + coalesce(list_sum(TRY_CAST(json_extract(f.payload, '$.redactions.*') AS BIGINT[])), 0))::BIGINT
                                                           AS redactions,
  s.command                                                AS command_id,
  lower(hex(s.hash))                                       AS hash,
  f.position                                               AS finished_position
FROM started AS s
LEFT JOIN finished AS f ON f.stream = s.stream AND f.position > s.position
ORDER BY s.position;
