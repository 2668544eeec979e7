-- How much of a replay was sent follows from what still waits: a job may end before its sending is noted.

alter table replays
    add column n_not_sent bigint not null default 0,
    add constraint not_sent_is_not_negative check (n_not_sent >= 0);
comment on column replays.n_not_sent is 'How many of those it chose are not sent and will not be: SQS refuses them, or the replay was cancelled before.';
comment on column replays.n_sent is 'Counted by older programs only, and too low where jobs ended before their sending was noted.';

update replays set n_not_sent = greatest(n_chosen - n_sent, 0) where ended_at is not null;
