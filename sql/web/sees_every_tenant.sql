-- Purpose: whether this login is shown everybody's rows, whoever it acts for: the owner, a superuser, or one that is a daemon too.
-- Index: none; the catalogue.
SELECT calendar_sync.sees_every_tenant()
