-- The comments on tables and columns, in plain English.

comment on table targets is 'The AWS account and region of each target name. A name never changes its account or region.';

comment on column batches.announced is 'Greatest batchSize seen: how many distinct certificates the producer will send. Null: no size was announced.';
comment on column batches.first_recorded_at is 'When the batch was first recorded.';

comment on table registrations is 'The outcome of each certificate of each batch: one row for each (batch, target, operation, subject).';
comment on column registrations.subject is 'Certificate id, or SHA-256 of the PEM text if no certificate can be read.';
comment on column registrations.ref is 'The producer''s own name for the device, as first sent.';
comment on column registrations.message_id is 'MessageId of the first message of this row, or of the one that resent the job.';
comment on column registrations.status is 'Status of the outcome, or `parked`. A success is never overwritten by a worse outcome.';
comment on column registrations.code is 'Code of the outcome, from a closed set.';
comment on column registrations.detail is 'Human-readable details beyond the code.';
comment on column registrations.known_status is 'Certificate status at AWS, if Muster set or read it. Null: unknown.';
comment on column registrations.status_differs is 'The certificate is registered, but its status at AWS is unknown or not the requested one.';
comment on column registrations.request is 'Fields of the AWS call, kept without a success so that the job can be resent. Never contains a private key.';
comment on column registrations.n_attempts is 'Number of AWS calls in total.';
comment on column registrations.n_duplicates is 'Number of deliveries of other messages that were merged into this row.';
comment on column registrations.other_names is 'Other refs and sources that further messages had, the first ten: ref, source.';
comment on column registrations.sent_at is 'When the message that brought this outcome was sent to the queue.';
comment on column registrations.ended_at is 'When the job got this outcome.';
comment on column registrations.recorded_at is 'When this outcome was written.';
comment on column registrations.waits_for is 'The hold that must be released before the job is resent. Null: none. Has no meaning without a request: older versions leave it on a success.';
comment on column registrations.verify is 'The job skips the lookup of registered certificates, so that AWS itself answers.';
comment on column registrations.sent_again_at is 'When the job was last resent. Null: it was not, or it has an outcome since.';
comment on column registrations.serial is 'Serial number of the certificate, big-endian, as in the DER. Null: none can be read, or an older version wrote the row.';
comment on column registrations.certificate is 'The certificate in DER, kept with a success so that it can be shown and resent. Otherwise the request has it.';

comment on column batch_counters.source is 'Factory line; empty if the jobs named none.';
comment on column batch_counters.n_status_differs is 'How many of them have a status at AWS that is unknown or not the requested one.';
comment on column batch_counters.last_at is 'When the last of them was recorded.';

comment on table quarantine is 'Messages whose body is not a job, kept whole so that nothing is lost.';
comment on column quarantine.reason is 'Why it is not a job, from a closed set.';
comment on column quarantine.detail is 'Human-readable reason.';
comment on column quarantine.recorded_at is 'When it was quarantined.';

comment on table holds is 'What parked jobs wait for, for example an issuer, a batch or a target. A row is removed after its jobs were resent.';
comment on column holds.reason is 'Human-readable reason for the hold.';
comment on column holds.witness is 'Id of the first certificate whose call led to the hold. Null: no single call did.';
comment on column holds.is_closed is 'Further jobs are parked without calling AWS.';
comment on column holds.opened_at is 'When it was opened.';
comment on column holds.probe_every is 'Interval before the first probe: one job that is sent to find out whether the hold can be released.';
comment on column holds.probe_at is 'When the next job may be sent as a probe.';
comment on column holds.asked_at is 'When a parked job was last resent as a probe.';
comment on column holds.released_at is 'When it was released: its parked jobs are resent. Null: it is open.';
comment on column holds.sender_until is 'When the lease of the worker that resends its jobs expires, unless the worker renews it.';
comment on column holds.n_probes is 'Number of probes so far. Each one doubles the wait for the next, up to ten times probe_every.';
comment on column holds.subject is 'For a hold on an issuer: the subject of its CA. Null: any other hold, or an older version opened it.';

comment on table rate_limits is 'The quota of each account, region and operation, in calls a second, from which every worker leases permits.';
comment on column rate_limits.rate is 'The learned rate, in calls a second: cut by throttles, raised by permits that were leased since without one.';
comment on column rate_limits.cut_at is 'When a throttle last cut the rate. A throttle of a permit granted earlier does not cut it again.';
comment on column rate_limits.next_free is 'The time from which permits are free.';
comment on column rate_limits.good_rate is 'The last rate at which calls succeeded, from before the throttles that followed. Null: unknown.';
comment on column rate_limits.next_probe is 'When the next probe of a hold may use a call of this quota. Null: no probe has used one yet.';
comment on column rate_limits.leased_at is 'When permits were last leased. Null: never, or only by an older version.';

comment on table rate_changes is 'The last hundred changes of each learned rate: every cut, and each rise of a twentieth.';
comment on column rate_changes.id is 'Order of the changes.';
comment on column rate_changes.rate is 'The new rate, in calls a second.';
comment on column rate_changes.reason is 'Why: the configured rate changed, AWS throttled a call, or AWS has not throttled one for a while.';

comment on column authorities.subject is 'The CA''s subject, as human-readable text.';
comment on column authorities.subject_key is 'SHA-256 of the DER of the CA''s name: the key in the holds of the certificates it signed.';
comment on column authorities.mode is 'DEFAULT or SNI_ONLY, if Muster registered it or AWS reported it. Null: unknown.';
comment on column authorities.status is 'Its status at AWS when Muster last set or read it. Null: unknown.';
comment on column authorities.registered_at is 'When Muster registered it; for a CA that was already registered, when Muster first learned of it.';

comment on table replays is 'The jobs that operators asked to have resent, and the progress of that.';
comment on column replays.filter is 'Which jobs it chooses, as JSON with its keys in a fixed order.';
comment on column replays.verify is 'Its jobs skip the lookup of registered certificates, so that AWS itself answers.';
comment on column replays.asked_by is 'Who requested it.';
comment on column replays.asked_at is 'When it was requested. It does not choose rows whose outcome was recorded later.';
comment on column replays.n_expected is 'Number of jobs that it was expected to choose when it was requested.';
comment on column replays.n_chosen is 'Number of jobs chosen so far.';
comment on column replays.n_sent is 'Counted only by older versions, and too low if jobs had an outcome before their sending was recorded.';
comment on column replays.n_not_sent is 'Number of chosen jobs that are not sent and will not be: SQS refuses them, or the replay was cancelled first.';
comment on column replays.last_batch is 'The position of the search: batch of the last row that was examined. Null: none yet, or the filter names certificates.';
comment on column replays.last_code is 'Code of the rows that are being examined.';
comment on column replays.last_subject is 'Subject of the last row that was examined.';
comment on column replays.chosen_at is 'When every row had been examined. Null: there are more.';
comment on column replays.cancelled_at is 'When an operator cancelled it.';
comment on column replays.cancelled_by is 'Who cancelled it.';
comment on column replays.ended_at is 'When all chosen jobs were sent, or it was cancelled. Null: it is in progress.';

comment on table audit is 'What operators did.';
comment on column audit.id is 'Order of the entries.';
comment on column audit.at is 'When it was done.';
comment on column audit.what is 'The object of the action: a batch, a hold, a queue.';
comment on column audit.detail is 'Parameters and result.';

comment on table queue_readings is 'What the queues of the workers held at the last reading, which shows whether messages are on their way.';
comment on column queue_readings.empty_since is 'Since when every reading has found both queues empty, messages in flight or delayed included. Null: the last reading did not, or a message was sent, received or recorded since.';

comment on table listed is 'What AWS reported about device certificates in each reconciliation in progress.';
comment on column listed.status is 'Its status at AWS. Null: AWS reported that it does not have the certificate.';

comment on table workers is 'The heartbeats of the workers. A worker that shuts down deletes its row.';
comment on column workers.troubles is 'What blocked its calls when it last reported: breaker, what, reason.';

comment on column missing_counts.one is 'Always true: the table has one row.';
