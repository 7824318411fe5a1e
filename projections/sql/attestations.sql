-- one row an attestation asked for: stage, subject, its dependencies, and the envelope that carries it
-- Ordered by position, that of attestation.declared, which is unique.
CREATE VIEW attestations AS
WITH emitted AS (
  SELECT command_id,
         arg_max(sha256, position)      AS envelope_sha256,
         arg_max(target, position)      AS target,
         arg_max(signing_key, position) AS signing_key
  FROM documents WHERE kind = 'attestation' GROUP BY command_id
)
SELECT
  a.position,
  make_timestamptz(a.time_us)                                AS time,
  a.payload->>'$.stage'                                      AS stage,
  coalesce(a.payload->>'$.subject', a.payload->>'$.subjects[0].name') AS subject,
  coalesce(a.payload->>'$.digest.sha256', a.payload->>'$.subjects[0].digest.sha256') AS subject_sha256,
  coalesce(a.payload->>'$.digest.origin', a.payload->>'$.subjects[0].digest.origin') AS subject_origin,
  a.payload->>'$.builder'                                    AS builder,
  a.payload->>'$.invocation'                                 AS invocation,
  a.payload->>'$.invocation_id'                              AS invocation_id,
  TRY_CAST(a.payload->>'$.started_on' AS TIMESTAMPTZ)        AS started_on,
  TRY_CAST(a.payload->>'$.finished_on' AS TIMESTAMPTZ)       AS finished_on,
  (a.payload->'$.dependencies')::JSON                        AS dependencies,
  a.payload->>'$.run'                                        AS run,
  a.payload->>'$.outcome.result'                             AS result,      -- of an evaluation
  a.payload->>'$.release.purl'                               AS purl,        -- of a release
  e.envelope_sha256,
  e.target,
  e.signing_key,                                             -- NULL: unsigned
  a.command                                                  AS command_id,
  lower(hex(a.hash))                                         AS hash
FROM entries AS a
LEFT JOIN emitted AS e ON e.command_id = a.command
WHERE a.type IN ('attestation.declared/1', 'attestation.declared/2')
ORDER BY a.position;
