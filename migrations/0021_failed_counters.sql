-- no-transaction
-- Answers "what failed, and why", over all batches.
--
-- Built beside live work, so outside a transaction: this file holds one statement only.
create index concurrently if not exists failed_counters on batch_counters (code)
    where status in ('rejected', 'refused', 'exhausted', 'gone');
