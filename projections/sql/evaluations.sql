-- one row a metric of a run's evaluation on held-out data
-- Ordered by position, then metric.
CREATE VIEW evaluations AS
SELECT
  e.position,
  make_timestamptz(e.time_us)                       AS time,
  e.payload->>'$.run'                               AS run,
  TRY_CAST(e.payload->>'$.step' AS BIGINT)          AS step,
  e.payload->>'$.slice'                             AS slice,
  m.metric,
  TRY_CAST(e.payload->'$.metrics'->>m.metric AS DOUBLE) AS value,
  e.command                                         AS command_id,
  lower(hex(e.hash))                                AS hash
FROM entries AS e, unnest(json_keys(e.payload, '$.metrics')) AS m(metric)
WHERE e.type = 'run.evaluated/1'
ORDER BY e.position, m.metric;
