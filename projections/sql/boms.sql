-- one row a bill of materials asked for: its facts, and the digests of its documents by format
-- Ordered by position, that of bom.declared, which is unique. Each digest has its origin: observed (hashed) or declared (typed).
CREATE VIEW boms AS
WITH emitted AS (
  SELECT command_id,
         arg_max(sha256, position) FILTER (media_type LIKE 'application/vnd.cyclonedx+json%') AS cyclonedx_sha256,
         arg_max(sha256, position) FILTER (kind = 'bom.spdx')                                 AS spdx_sha256,
         arg_max(sha256, position) FILTER (kind = 'bom.spdx3')                                AS spdx3_sha256,
         list(sha256 ORDER BY position) FILTER (kind LIKE '%.statement')                      AS statements
  FROM documents GROUP BY command_id
)
SELECT
  b.position,
  make_timestamptz(b.time_us)          AS time,
  b.payload->>'$.name'                 AS name,
  b.payload->>'$.version'              AS version,
  b.payload->>'$.base_model'           AS base_model,
  b.payload->>'$.base_revision'        AS base_revision,
  b.payload->>'$.task'                 AS task,
  b.payload->>'$.license'              AS license,
  b.payload->>'$.model.sha256'         AS model_sha256,
  b.payload->>'$.model.origin'         AS model_origin,
  b.payload->>'$.base.sha256'          AS base_sha256,
  b.payload->>'$.base.origin'          AS base_origin,
  b.payload->>'$.config.sha256'        AS config_sha256,
  b.payload->>'$.config.origin'        AS config_origin,
  b.payload->>'$.data[*].sha256'       AS data_sha256,   -- a list
  b.payload->>'$.data[*].origin'       AS data_origin,   -- in the same order
  b.payload->>'$.artifacts[*].sha256'  AS artifact_sha256,  -- further files of the release: a list
  b.payload->>'$.parent.sha256'        AS parent_sha256,    -- the bill of materials of what it was made from
  b.payload->>'$.run'                  AS run,
  e.cyclonedx_sha256,
  e.spdx_sha256,
  e.spdx3_sha256,
  e.statements,                                             -- signed statements about these documents: a list
  b.command                            AS command_id,
  lower(hex(b.hash))                   AS hash
FROM entries AS b
LEFT JOIN emitted AS e ON e.command_id = b.command
WHERE b.type IN ('bom.declared/1', 'bom.declared/2')
ORDER BY b.position;
