-- what a receipt says about the entries behind an answer: how many, from where to where, what is missing, the longest silence
WITH step AS (
  SELECT
    position,
    payload,
    lag(position, 1, 0) OVER (ORDER BY position)             AS before,
    logged_us - lag(logged_us) OVER (ORDER BY position)      AS silence  -- microseconds since the entry before
  FROM entries
)
SELECT
  count(*)                                                   AS events,
  coalesce(min(position), 0)                                 AS first,
  coalesce(max(position), 0)                                 AS last,
  count(*) - count(payload)                                  AS erased,
  coalesce(max(silence), 0)                                  AS silence_us,
  coalesce((SELECT position FROM step WHERE silence > 0 ORDER BY silence DESC, position LIMIT 1), 0) AS silence_before,
  coalesce(list([before + 1, position - 1] ORDER BY position) FILTER (position > before + 1), []) AS gaps
FROM step;
