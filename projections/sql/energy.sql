-- one row an energy figure, measured over a run or declared by an operator; CO2 where an intensity is known
-- Ordered by position, then number within the entry.
CREATE VIEW energy AS
WITH figures AS (
  SELECT position, time_us, command, hash, 'observed' AS origin, payload->>'$.run' AS run, 1 AS number, payload->'$.energy' AS figure
  FROM entries WHERE type = 'energy.measured/1'
  UNION ALL
  SELECT position, time_us, command, hash, 'declared', NULL, generate_subscripts(figures, 1), unnest(figures)
  FROM (SELECT *, (payload->'$.energy')::JSON[] AS figures FROM entries WHERE type = 'energy.declared/1')
)
SELECT
  f.position,
  make_timestamptz(f.time_us)                               AS time,
  f.origin,
  f.run,
  f.number,
  f.figure->>'$.activity'                                   AS activity,
  TRY_CAST(f.figure->>'$.kwh' AS DECIMAL(30, 12))           AS kwh,
  TRY_CAST(f.figure->>'$.pue' AS DECIMAL(10, 4))            AS pue,
  TRY_CAST(f.figure->>'$.intensity.g_per_kwh' AS DECIMAL(20, 6)) AS g_per_kwh,
  TRY_CAST(f.figure->>'$.co2_g' AS DECIMAL(30, 9))          AS co2_g,      -- grams of CO2 equivalent; NULL: not known
  f.figure->>'$.not_known'                                  AS not_known,  -- why
  f.figure->>'$.method'                                     AS method,
  f.figure->>'$.source'                                     AS source,
  f.figure->>'$.intensity.source'                           AS intensity_source,
  f.figure->>'$.intensity.zone'                             AS zone,
  f.command                                                 AS command_id,
  lower(hex(f.hash))                                        AS hash
FROM figures AS f
ORDER BY f.position, f.number;
