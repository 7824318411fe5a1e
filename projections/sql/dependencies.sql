-- one row a thing that a model was made from: base, configuration, data, and packages installed
-- Ordered by position (of the bill of materials that says so), then role and number. Origin: observed (soup saw it) or declared.
CREATE VIEW dependencies AS
WITH boms AS (
  SELECT position, time_us, command, payload FROM entries WHERE type IN ('bom.declared/1', 'bom.declared/2')
), parts AS (
  SELECT position, time_us, command, payload, 'base' AS role, 1 AS number,
         payload->>'$.base_model' AS name, payload->>'$.base_revision' AS version, payload->'$.base' AS digest
  FROM boms WHERE json_type(payload, '$.base') = 'OBJECT' OR (payload->>'$.base_model') IS NOT NULL
  UNION ALL
  SELECT position, time_us, command, payload, 'config', 1, NULL, NULL, payload->'$.config'
  FROM boms WHERE json_type(payload, '$.config') = 'OBJECT'
  UNION ALL
  SELECT position, time_us, command, payload, 'data', generate_subscripts(data, 1), NULL, NULL, unnest(data)
  FROM (SELECT *, (payload->'$.data')::JSON[] AS data FROM boms)
  UNION ALL
  SELECT b.position, b.time_us, b.command, b.payload, 'package', e.number,
         e.package->>'$.name', e.package->>'$.version', NULL
  FROM boms AS b
  JOIN (SELECT command, generate_subscripts(packages, 1) AS number, unnest(packages) AS package
        FROM (SELECT command, (payload->'$.packages')::JSON[] AS packages
              FROM entries WHERE type = 'environment.observed/1')) AS e ON e.command = b.command
)
SELECT
  p.position,
  make_timestamptz(p.time_us)          AS time,
  p.payload->>'$.name'                 AS model,
  p.payload->>'$.version'              AS model_version,
  p.payload->>'$.model.sha256'         AS model_sha256,
  p.role,
  p.number,                            -- within its role, from 1
  p.name,                              -- NULL: known by its digest only; join artifacts on sha256 for its path
  p.version,
  p.digest->>'$.sha256'                AS sha256,
  coalesce(p.digest->>'$.origin', if(p.role = 'package', 'observed', 'declared')) AS origin,
  p.command                            AS command_id
FROM parts AS p
ORDER BY p.position, p.role, p.number;
