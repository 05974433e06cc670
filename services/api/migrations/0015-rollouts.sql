-- How a process's instances are replaced in a deploy. Null: all at once, and ready at once.
ALTER TABLE processes ADD COLUMN canary integer CHECK (canary BETWEEN 1 AND 500);
ALTER TABLE processes ADD COLUMN batch integer CHECK (batch BETWEEN 1 AND 500);
ALTER TABLE processes ADD COLUMN min_ready_ms integer CHECK (min_ready_ms >= 0);
