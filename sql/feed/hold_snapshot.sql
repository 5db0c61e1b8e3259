-- Purpose: all that this transaction reads of a feed is of one moment: what its fingerprint says, and the jobs themselves.
-- Index: none.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
