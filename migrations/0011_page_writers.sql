-- The last page of outcomes that each process wrote: one whose COMMIT was in doubt is not written twice.

create table page_writers (
    writer bigint primary key,
    page bigint not null,
    written_at timestamptz not null default now()
) with (fillfactor = 50);
comment on table page_writers is 'The last page of outcomes that each process wrote.';
comment on column page_writers.writer is 'A random number of the process.';
comment on column page_writers.page is 'The number of its last page.';
comment on column page_writers.written_at is 'When that was written; a row is dropped a week later.';
