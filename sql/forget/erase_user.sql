-- Purpose: erase what is stored about a user; how many rows of which table. Refused while one of his grants has not ended.
SELECT name, erased FROM calendar_sync.erase_user(%(tenant_id)s, %(user_id)s)
