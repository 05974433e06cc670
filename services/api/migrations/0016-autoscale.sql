-- Between which limits, and by what, a process's count follows its load (the contract's Autoscale). Null: it does not.
ALTER TABLE processes ADD COLUMN autoscale jsonb;
