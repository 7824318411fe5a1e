-- one row a document rendered: what it is, where it went, what it derives from, who signed it
-- Ordered by position, that of document.rendered, which is unique.
CREATE VIEW documents AS
WITH rendered AS (
  SELECT
    position, time_us, command, stream, hash,
    payload->>'$.kind'                             AS kind,
    payload->>'$.sha256'                           AS sha256,
    TRY_CAST(payload->>'$.size' AS BIGINT)         AS size,
    payload->>'$.media_type'                       AS media_type,
    payload->>'$.renderer'                         AS renderer,
    (payload->'$.libraries')::JSON                 AS libraries,
    TRY_CAST(payload->>'$.position' AS BIGINT)     AS derives_from,
    (payload->>'$.streams')::VARCHAR[]             AS streams,
    payload->>'$.target'                           AS target
  FROM entries WHERE type = 'document.rendered/1'
), published AS (
  SELECT r.position AS rendered_position, min(p.position) AS position, arg_min(p.time_us, p.position) AS time_us
  FROM rendered AS r JOIN entries AS p ON p.stream = r.stream AND p.position > r.position
  WHERE p.type = 'document.published/1' AND (p.payload->>'$.target') IS NOT DISTINCT FROM r.target
  GROUP BY r.position
), signed AS (
  -- the signature lies in one of the document's input streams, recorded by the same command before it was rendered
  SELECT r.position AS rendered_position, max(s.position) AS position,
         arg_max(s.payload->>'$.key', s.position) AS key
  FROM rendered AS r JOIN entries AS s ON s.command = r.command AND s.position < r.position
  WHERE s.type IN ('document.signed/1', 'document.signed/2') AND list_contains(r.streams, s.stream)
    AND (r.kind LIKE 'attestation%' OR r.kind LIKE '%.statement' OR r.kind = 'model-signature')   -- a bill of materials itself carries no signature
  GROUP BY r.position
)
SELECT
  r.position,
  make_timestamptz(r.time_us)                                  AS time,
  r.kind,
  r.sha256,
  r.size,
  r.media_type,
  r.renderer,
  r.libraries,
  r.derives_from,                                              -- the prefix of the ledger that gives these bytes
  r.streams,
  r.target,                                                    -- NULL: standard output
  if(p.position IS NULL, 'rendered, not published', 'published') AS state,
  p.position                                                   AS published_position,
  make_timestamptz(p.time_us)                                  AS published,
  s.key                                                        AS signing_key,  -- NULL: unsigned
  r.command                                                    AS command_id,
  lower(hex(r.hash))                                           AS hash
FROM rendered AS r
LEFT JOIN published AS p ON p.rendered_position = r.position
LEFT JOIN signed AS s ON s.rendered_position = r.position
ORDER BY r.position;
