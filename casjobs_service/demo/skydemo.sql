-- Relations of SkyDemo's schema that follow from the objects (relation `photo`; see `SOURCE` in database.py for the names).
-- Variables come from casjobs_service/demo/skydemo.py: angles in degrees.

CREATE TEMP TABLE source_fields AS
SELECT *, (field - getvariable('first_field')) * getvariable('field_length') AS west,
    west + getvariable('field_length') AS east,
    greatest(band * getvariable('band') + getvariable('south'), -90) AS south,
    least((band + 1) * getvariable('band') + getvariable('south'), 90) AS north
FROM (
    SELECT fieldid, run, camcol, field, stripe, strip, band, count(*) AS ntotal,
        count(*) FILTER (type = 3) AS ngalaxy, count(*) FILTER (type = 6) AS nstars
    FROM source_photo GROUP BY ALL)
ORDER BY fieldid;

CREATE TEMP TABLE source_segments AS
SELECT run, camcol, stripe, strip, min(field) AS startfield, count(*) AS nfields, sum(ntotal) AS ntotal,
    (min(fieldid) >> 29) << 29 AS segmentid
FROM source_fields GROUP BY ALL ORDER BY run, camcol;

CREATE TEMP TABLE source_runs AS
SELECT run, stripe, strip, min(field) AS startfield, max(field) AS endfield
FROM source_fields GROUP BY ALL ORDER BY run;

CREATE TEMP TABLE source_stripes AS
SELECT DISTINCT stripe FROM source_fields ORDER BY stripe;

CREATE TEMP TABLE source_everywhere AS
SELECT 1 AS regionid, min(fieldid) AS fieldid FROM source_fields;

CREATE TEMP TABLE source_moving AS
SELECT * FROM source_photo WHERE pmra IS NOT NULL;

-- The zones join: only objects of the same and the next zones, and of them only those with a near right ascension.
CREATE TEMP TABLE source_pairs AS
WITH positions AS (
    SELECT objid, zoneid, type, ra, cx, cy, cz, getvariable('near') AS near,
        degrees(atan(sin(radians(near)) / sqrt(abs(cos(radians(dec - near)) * cos(radians(dec + near)))))) AS width,
        -- So close to a pole every right ascension may be near.
        if(width > 10 OR abs(dec) > 90 - near, 360, width) AS reach
    FROM source_photo),
copies AS (
    SELECT *, ra AS x FROM positions
    UNION ALL SELECT *, ra - 360 FROM positions WHERE ra > 350
    UNION ALL SELECT *, ra + 360 FROM positions WHERE ra < 10)
SELECT DISTINCT one.objid, other.objid AS neighborobjid, one.type, other.type AS neighbortype, one.zoneid,
    60 * degrees(2 * asin(
        sqrt((one.cx - other.cx) ** 2 + (one.cy - other.cy) ** 2 + (one.cz - other.cz) ** 2) / 2)) AS distance
FROM (SELECT *, unnest([-1, 0, 1]) + zoneid AS zone FROM positions) AS one
JOIN copies AS other ON other.zoneid = one.zone AND other.x BETWEEN one.ra - one.reach AND one.ra + one.reach
WHERE one.objid <> other.objid AND distance < 60 * getvariable('near')
ORDER BY one.zoneid, one.objid, distance
