-- Free disk that a host keeps for the writable layer of each of a process's containers.
ALTER TABLE processes ADD COLUMN disk_bytes bigint NOT NULL DEFAULT 268435456;
