"""The bugs that the tests must catch: what is replaced where, and which tests fail then."""

from dataclasses import dataclass

LIB, IT = ("--lib",), ("--test", "it")


@dataclass
class Bug:
    name: str
    file: str
    old: str
    new: str
    kind: tuple
    tests: list


def bug(name, file, old, new, kind, *tests):
    return Bug(name, file, old, new, kind, list(tests))


BUGS = [
    # Nothing is lost.
    bug(
        "delete before commit",
        "src/recorder.rs",
        "            let committed = if ended.is_empty()",
        "            for finished in &ended {\n"
        "                let receipt = std::slice::from_ref(&finished.delivery.receipt);\n"
        "                let _ = finished.delivery.queue.delete(receipt).await;\n"
        "            }\n"
        "            let committed = if ended.is_empty()",
        IT,
        "unstorable::a_row_that_cannot_be_written_at_all_keeps_its_message_and_holds_up_no_other",
    ),
    bug(
        "ignoring Failed entries",
        "src/queue.rs",
        "entry.id.parse().ok().and_then(|i: usize| results.get_mut(i))",
        "entry.id.parse().ok().filter(|_: &usize| false).and_then(|i| results.get_mut(i))",
        IT,
        "trouble::an_entry_that_sqs_did_not_delete_is_deleted_on_the_next_try",
    ),
    bug(
        "no heartbeat",
        "src/serve.rs",
        "helpers.spawn(essential.run(heartbeat.run()));",
        "drop(heartbeat);",
        IT,
        "trouble::a_call_that_takes_longer_than_the_visibility_time_out_is_not_made_twice",
    ),
    bug(
        "nothing given back",
        "src/recorder.rs",
        "recorder.ack(Ack::GiveBack, released, &last).await;",
        "drop(released);",
        IT,
        "service::a_terminated_worker_ends_in_order_and_gives_back_what_it_holds",
    ),
    bug(
        "no bisect",
        "src/recorder/page.rs",
        "Err(_) if part.len() > 1 => {",
        "Err(_) if part.len() > usize::MAX / 2 => {",
        IT,
        "unstorable::a_row_that_postgres_refuses_is_written_without_its_texts",
    ),
    bug(
        "every error blames a row",
        "src/recorder/page.rs",
        "if error.is_rows_fault() {",
        "if true {",
        IT,
        "unstorable::a_full_disk_is_tried_again_with_the_whole_page",
    ),
    # Nobody is blamed.
    bug(
        "already registered is a failure",
        "src/worker/retry.rs",
        "Kind::Exists => Step::End(Code::Exists)",
        "Kind::Exists => Step::End(Code::InvalidRequest)",
        IT,
        "trouble::an_answer_that_was_lost_is_found_on_the_retry",
    ),
    bug(
        "a lost answer is forgotten",
        "src/worker/retry.rs",
        "        self.is_answer_lost = true;\n",
        "",
        IT,
        "trouble::an_answer_that_was_lost_is_found_on_the_retry",
    ),
    bug(
        "throttles count",
        "src/worker/retry.rs",
        "Kind::Throttled => Step::Wait(self.waits.next_wait()),",
        "Kind::Throttled => self.after_trouble(Code::ServerError, successes, is_breaker_open),",
        LIB,
        "worker::retry::tests::throttles_and_denials_never_end_a_job",
    ),
    bug(
        "an outage counts",
        "src/worker/retry.rs",
        "if successes != self.successes_seen {",
        "if true {",
        LIB,
        "worker::retry::tests::an_outage_never_ends_a_job",
    ),
    bug(
        "a foreign id is a success",
        "src/worker/course.rs",
        "(given != id).then(",
        "(given != id && false).then(",
        IT,
        "trouble::an_id_that_is_not_the_certificates_is_no_success",
    ),
    bug(
        "no breaker for denials",
        "src/breaker.rs",
        "self.trip(Cause::Auth, reason, false);",
        "let _ = reason;",
        IT,
        "breakers::expired_credentials_stop_the_calls_but_for_a_probe_and_blame_nobody",
    ),
    bug(
        "no breaker for outages",
        "src/breaker.rs",
        "if is_outage {",
        "if is_outage && false {",
        IT,
        "breakers::an_outage_stops_the_calls_but_for_a_probe_and_blames_nobody",
    ),
    bug(
        "no hold",
        "src/worker/admission.rs",
        "if !breakers.holds.is_empty() {",
        "if false {",
        IT,
        "breakers::jobs_of_an_unregistered_ca_are_parked_while_others_flow_and_sent_again_after_the_mend",
    ),
    bug(
        "calls while Postgres is away",
        "src/worker/admission.rs",
        "if breakers.postgres.open().is_some() || breakers.is_paused() {",
        "if breakers.is_paused() {",
        IT,
        "breakers::no_call_is_made_while_ends_cannot_be_recorded",
    ),
    # The quota.
    bug(
        "a retry without a token",
        "src/worker/call.rs",
        "            let answer = self.call(admitted).await;\n",
        "            let mut answer = self.call(admitted).await;\n"
        "            while matches!(answer.kind(), Some(Kind::Transient(_))) {\n"
        "                answer = self.call(admitted).await;\n"
        "            }\n",
        IT,
        "trouble::retries_keep_the_rate_too",
    ),
    bug(
        "the SDK retries too",
        "src/registrar.rs",
        "            .retry_config(RetryConfig::disabled())\n",
        "",
        IT,
        "trouble::trouble_before_the_call_ran_ends_registered",
    ),
    bug(
        "a tenth too fast",
        "src/store/rate_limit.rs",
        "                ) + make_interval(secs => $4 / rate),\n",
        "                ) + make_interval(secs => $4 / rate / 1.1),\n",
        IT,
        "quota::eight_leasers_at_once_find_no_two_places_alike",
    ),
    bug(
        "a full bucket at the start",
        "src/store/rate_limit.rs",
        "clock_timestamp() + make_interval(secs => 1 / $4))",
        "clock_timestamp() - make_interval(secs => 1 / $4))",
        IT,
        "quota::a_new_quota_has_saved_up_nothing",
    ),
    bug(
        "a limiter per process",
        "src/serve/quotas.rs",
        "            quotas.entry(Quota { account: target.account.clone(), operation })",
        "            let mut account = target.account.clone();\n"
        "            account.id += &fastrand::u64(..).to_string();\n"
        "            quotas.entry(Quota { account, operation })",
        IT,
        "quota::workers::three_workers_share_one_quota_and_use_it",
    ),
    bug(
        "a CTE in the lease",
        "src/store/rate_limit.rs",
        "            update rate_limits\n"
        "            set next_free = least(\n"
        "                    greatest(\n"
        "                        next_free,\n",
        "            with seen as (\n"
        "                select next_free as free from rate_limits where account = $1 and region = $2 and operation = $3\n"
        "            )\n"
        "            update rate_limits\n"
        "            set next_free = least(\n"
        "                    greatest(\n"
        "                        (select free from seen),\n",
        IT,
        "quota::eight_leasers_at_once_find_no_two_places_alike",
    ),
    bug(
        "an idle hour is saved up",
        "src/store/rate_limit.rs",
        "clock_timestamp() - make_interval(secs => greatest($5, floor(rate * $6)) / rate / 2)",
        "next_free - make_interval(secs => greatest($5, floor(rate * $6)) / rate / 2)",
        IT,
        "quota::an_idle_quota_grants_no_more_than_its_burst_of_the_past",
    ),
    bug(
        "every throttle cuts",
        "src/store/rate_limit.rs",
        "and cut_at < $4\n",
        "and (cut_at < $4 or true)\n",
        IT,
        "quota::a_throttle_cuts_once_for_all_places_granted_before_it",
    ),
    bug(
        "no floor",
        "src/store/rate_limit.rs",
        "set rate = least(rate, greatest(rate * $5, ceiling * $6, least(ceiling, $7))),",
        "set rate = least(rate, greatest(rate * $5, ceiling * $6 / 1000, least(ceiling, $7) / 1000)),",
        IT,
        "quota::no_throttle_cuts_below_the_floor",
    ),
    bug(
        "a rise while idle",
        "src/store/rate_limit.rs",
        "least($9 * clean_seconds, $10)",
        "least($9 * extract(epoch from clock_timestamp() - cut_at)::float8, $10)",
        IT,
        "quota::no_rate_rises_while_nobody_leases",
    ),
    bug(
        "a restart forgets what was learnt",
        "src/store/rate_limit.rs",
        "        where q.ceiling <> excluded.ceiling\";\n",
        "        where q.ceiling <= excluded.ceiling\";\n",
        IT,
        "quota::another_ceiling_is_taken_at_once_and_the_same_at_a_restart_changes_nothing",
    ),
    bug(
        "late places are used",
        "src/limiter/dispenser.rs",
        "place.until < now",
        "false && place.until < now",
        LIB,
        "limiter::tests::places_that_nobody_used_in_their_time_are_thrown_away",
    ),
    bug(
        "places of a frozen process are used",
        "src/limiter/dispenser.rs",
        "if answered - asked_at < SLOW {",
        "if answered - asked_at < SLOW * 1000 {",
        LIB,
        "limiter::tests::places_whose_time_is_over_are_thrown_away",
    ),
    bug(
        "no claim",
        "src/claims.rs",
        "            Entry::Occupied(entry) => Claimed::Joined(entry.get().clone()),\n",
        "            Entry::Occupied(mut entry) => {\n"
        "                let (outcome, join) = watch::channel(None);\n"
        "                entry.insert(Join(join));\n"
        "                Claimed::First(Claim { claims: self.clone(), key, outcome })\n"
        "            }\n",
        IT,
        "service::copies_of_one_certificate_cost_one_call",
    ),
    bug(
        "no look-up",
        "src/worker.rs",
        "match known.filter(|_| !admitted.job.verify) {",
        "match known.filter(|_| false) {",
        IT,
        "service::a_certificate_with_a_good_row_costs_no_call_in_another_batch",
    ),
    bug(
        "known in any account and region",
        "src/store/known.rs",
        "and account = $2 and region = $3",
        "and $2::text is not null and $3::text is not null",
        IT,
        "ledger::only_good_ends_of_this_account_and_region_are_known",
    ),
    # The ledger.
    bug(
        "counters outside the transaction",
        "src/store/record.rs",
        "        count(db, changes).await?;\n",
        "        sqlx::raw_sql(\"commit; begin\").execute(&mut *db).await?;\n        count(db, changes).await?;\n",
        IT,
        "ledger::commit::a_page_whose_counters_fail_leaves_no_row",
    ),
    bug(
        "counters never go down",
        "src/store/record.rs",
        "        changes.disappears(&row, status);\n",
        "",
        IT,
        "ledger::a_good_end_stays_whatever_comes_later",
    ),
    bug(
        "no time-out on COMMIT",
        "src/store/record.rs",
        "        self.run(async |db| {\n"
        "            let mut transaction = self.begin(db).await?;\n"
        "            write(&mut transaction, page).await?;\n"
        "            crash_point::reached(\"before_commit\");\n"
        "            transaction.commit().await?;\n"
        "            // Beside the transaction: it locks holds without the rows that wait for them.\n"
        "            release_issuers(db, &page.authorities).await\n"
        "        })\n"
        "        .await\n",
        "        let mut connection = self.pool.acquire().await?;\n"
        "        let mut transaction = self.begin(&mut connection).await?;\n"
        "        write(&mut transaction, page).await?;\n"
        "        Ok(transaction.commit().await?)\n",
        IT,
        "ledger::commit::a_commit_that_hangs_ends_with_the_time_out",
    ),
    bug(
        "counting a redelivery",
        "src/store/row.rs",
        "if later.message_id != self.message_id {",
        "if true {",
        IT,
        "trouble::a_message_that_a_stale_receipt_did_not_delete_costs_no_second_call",
    ),
    bug(
        "the later end wins",
        "src/store/row.rs",
        "new > old || (new == old && !self.status().is_good())",
        "new > 0 || old > 0",
        IT,
        "ledger::a_good_end_stays_whatever_comes_later",
    ),
    bug(
        "no sort",
        "src/store/row.rs",
        "    sorted.sort_by_key(|row| row.key());\n",
        "",
        IT,
        "ledger::two_recorders_with_the_same_keys_neither_deadlock_nor_miscount",
    ),
    # What comes in, and what must not get out.
    bug(
        "an expired certificate passes",
        "src/precheck.rs",
        "if now > not_after {",
        "if now > not_after && false {",
        IT,
        "service::every_flaw_is_rejected_for_its_reason_and_costs_no_call",
    ),
    bug(
        "a PGP key is none",
        "src/certificate/pem.rs",
        'words.strip_suffix(" BLOCK").unwrap_or(words)',
        "words",
        IT,
        "input::bodies::every_input_ends_for_its_precise_reason",
        "secrecy::a_service_in_trouble_gives_no_secret_away",
    ),
    bug(
        "a private key is kept",
        "src/recorder/entry.rs",
        "|| outcome.code == Code::PrivateKey",
        "",
        IT,
        "secrecy::a_service_in_trouble_gives_no_secret_away",
    ),
    bug(
        "a private key in quarantine",
        "src/recorder/entry.rs",
        "pem::blank_private_keys(&no_job.body)",
        "no_job.body.clone()",
        IT,
        "secrecy::a_service_in_trouble_gives_no_secret_away",
    ),
    bug(
        "a private key behind escapes in quarantine",
        "src/certificate/pem.rs",
        "if holds_private_key(&unescaped(&blanked)) {",
        "if false {",
        IT,
        "input::bodies::no_body_in_quarantine_holds_a_private_key",
    ),
    bug(
        "a parse error repeats the body",
        "src/job/json.rs",
        '            text.replace_range(open + 1..close, "...");\n',
        "",
        IT,
        "input::message::an_error_repeats_nothing_that_may_be_a_secret",
        "secrecy::a_service_in_trouble_gives_no_secret_away",
    ),
    bug(
        "a job is logged",
        "src/worker/judge.rs",
        'debug!(message_id = delivery.message_id, %warning, "forwarded with a warning");',
        'debug!(pem = job.request.pem(), %warning, "forwarded with a warning");',
        IT,
        "secrecy::a_service_in_trouble_gives_no_secret_away",
    ),
    bug(
        "a body is logged",
        "src/receiver.rs",
        'warn!(message_id = delivery.message_id, reason = no_job.error.code(), "a message is no job");',
        'warn!(?no_job.body, reason = no_job.error.code(), "a message is no job");',
        IT,
        "secrecy::a_service_in_trouble_gives_no_secret_away",
    ),
    bug(
        "a panic prints a body",
        "src/recorder/entry.rs",
        '.field("bytes", &self.body.len())',
        '.field("body", &self.body)',
        IT,
        "secrecy::what_a_panic_may_print_holds_no_secret",
    ),
    bug(
        "the password is shown",
        "src/config/units.rs",
        "serializer.serialize_str(&mask(url.expose_secret()))",
        "serializer.serialize_str(url.expose_secret())",
        IT,
        "secrecy::commands_give_no_secret_away",
    ),
    bug(
        "an unknown parameter of the URL is logged",
        "src/store.rs",
        "tracing::subscriber::with_default(NoSubscriber::new(), || PgConnectOptions::from_str(url))",
        "PgConnectOptions::from_str(url)",
        IT,
        "secrecy::a_wrong_database_gives_no_password_away",
    ),
    bug(
        "a text of AWS makes lines",
        "src/sdk_error.rs",
        "if c.is_control() { ' ' } else { c }",
        "c",
        LIB,
        "sdk_error::tests::a_text_of_a_service_becomes_one_short_line",
    ),
    bug(
        "a log line makes lines",
        "src/telemetry.rs",
        "if c.is_control() {",
        "if c == '\\0' {",
        LIB,
        "telemetry::tests::a_field_of_a_text_line_keeps_to_its_line",
    ),
    bug(
        "a series for each source",
        "src/worker/judge.rs",
        "self.parts.metrics.precheck_rejections.with_label_values(&[code.as_str()]).inc();",
        "self.parts.metrics.precheck_rejections.with_label_values(&[job.source.as_ref().unwrap().as_str()]).inc();",
        IT,
        "input::series::thousands_of_names_add_no_series",
    ),
    # Three operations.
    bug(
        "setAsActive is forgotten",
        "src/job/request.rs",
        "self.status.or_else(|| self.set_as_active.map(of_activity))",
        "self.status",
        IT,
        "operations::parameters::register_certificate_set_as_active_becomes_a_status",
    ),
    bug(
        "tags are not sent",
        "src/registrar.rs",
        ".set_tags((!request.tags.is_empty()).then_some(tags))",
        ".set_tags(Some(tags).filter(Vec::is_empty))",
        IT,
        "operations::parameters::register_ca_certificate_tags",
    ),
    bug(
        "a CA that is in releases nothing",
        "src/store/record.rs",
        "release_issuers(db, &page.authorities).await",
        "release_issuers(db, &[]).await",
        IT,
        "operations::mixed::devices_wait_for_a_ca_that_was_refused_and_are_sent_again_when_it_is_in",
    ),
    bug(
        "a conflict is final",
        "src/worker/call.rs",
        "Step::End(Code::CertificateConflict) if self.name_ca(admitted).await? => {}",
        "",
        IT,
        "operations::namesakes::a_conflict_is_answered_with_the_ca_that_the_ledger_knows",
    ),
    bug(
        "every device of a shared name meets the conflict",
        "src/worker/call.rs",
        "        self.name_ca_where_shared(admitted);\n",
        "",
        IT,
        "operations::namesakes::a_conflict_is_answered_with_the_ca_that_the_ledger_knows",
    ),
    bug(
        "a state parks what has no CA",
        "src/registrar/kind.rs",
        "if self == Self::IssuerInactive { Self::Refused(Code::CertificateState) } else { self }",
        "self",
        IT,
        "operations::exceptions::certificate_state_is_refused_where_aws_looks_for_no_ca",
    ),
    bug(
        "a CA and a device are one",
        "src/claims.rs",
        "is_of_ca: job.operation().is_of_ca(), id",
        "is_of_ca: false, id",
        IT,
        "operations::mixed::a_ca_and_a_device_with_one_certificate_are_two",
    ),
    bug(
        "the registration code is asked for each CA",
        "src/session.rs",
        "Some(last) if last.code.is_some() || last.at.elapsed() < CODE_PAUSE => last.code.clone(),",
        "Some(last) if last.code.is_none() && last.at.elapsed() < CODE_PAUSE => None,",
        IT,
        "operations::code::the_registration_code_is_asked_for_once",
    ),
    bug(
        "an idle operation counts as working",
        "src/breakers.rs",
        "trouble.is_none_or(|since| own.answered_at().is_some_and(|at| at >= since))",
        "trouble.is_none_or(|_| true)",
        LIB,
        "breakers::tests::an_operation_that_nobody_uses_does_not_count_as_working",
    ),
    bug(
        "one limiter for all operations",
        "src/serve/quotas.rs",
        "limiters.insert((name.parse()?, operation), limiter.clone());",
        "for &its in Operation::VARIANTS { limiters.insert((name.parse()?, its), limiter.clone()); }",
        IT,
        "operations::mixed::a_mixed_queue_in_bad_order_drains_to_the_right_ends_at_a_rate_for_each_operation",
    ),
    bug(
        "the rate of one operation for all",
        "src/serve/quotas.rs",
        "config.targets[names[0]].rates.of(operation)",
        "config.targets[names[0]].rates.register_certificate",
        IT,
        "operations::mixed::a_mixed_queue_in_bad_order_drains_to_the_right_ends_at_a_rate_for_each_operation",
    ),
    bug(
        "a limit names nobody",
        "src/worker/namesakes.rs",
        "match name_them(namesakes) {",
        "match name_them(&namesakes[..0]) {",
        IT,
        "operations::namesakes::an_eleventh_ca_of_one_name_is_exhausted_and_the_ten_are_named",
    ),
    bug(
        "a conflict is decided without the ledger",
        "src/worker/namesakes.rs",
        "self.ask_ledger(|| self.authorities_of(admitted, name)).await?;",
        "self.authorities_of(admitted, name).await.unwrap_or_default();",
        IT,
        "operations::namesakes::a_conflict_waits_for_a_ledger_that_cannot_tell_the_ca",
    ),
    # What operators order.
    bug(
        "a replay chooses a row again",
        "src/store/replay/choose.rs",
        "coalesce(r.replay, 0) < $11",
        "(coalesce(r.replay, 0) < $11 or true)",
        IT,
        "replay::choosing::what_a_later_replay_had_sent_again_an_earlier_one_leaves_alone",
    ),
    bug(
        "pressing twice is two replays",
        "src/store/replay.rs",
        "sqlx::query_scalar(insert).bind(wish.filter.to_json())",
        "sqlx::query_scalar(insert).bind(wish.filter.to_json() + &\" \".repeat(fastrand::usize(..1000)))",
        IT,
        "replay::pressing_twice_is_one_replay",
    ),
    bug(
        "a replay chooses what failed after it",
        "src/store/replay/choose.rs",
        "and r.recorded_at <= $12",
        "and (r.recorded_at <= $12 or true)",
        IT,
        "replay::choosing::what_ended_after_the_replay_was_asked_for_is_not_chosen",
    ),
    bug(
        "a replay does not say where it stands",
        "src/store/replay.rs",
        "set n_sent = n_sent + $2",
        "set n_sent = n_sent + 0 * $2",
        IT,
        "replay::what_may_go_well_is_sent_again_and_waited_for",
    ),
    bug(
        "a crash ends a replay",
        "src/sender.rs",
        "Ok(is_last) => is_last && self.store.finish(&hold).await?,",
        "Ok(_) => self.store.finish(&hold).await?,",
        IT,
        "replay::a_long_replay_takes_several_turns",
    ),
    bug(
        "a cancelled replay is sent",
        "src/store/replay.rs",
        "let n = stop_waiting_for(&mut transaction, number).await?;",
        "let n = 0;",
        IT,
        "replay::a_replay_that_is_cancelled_sends_nothing_more",
    ),
    bug(
        "a pause is seen too late",
        "src/serve.rs",
        "        breakers.holds.refresh(reached.store.open_holds().await?);\n",
        "",
        IT,
        "pause::while_all_is_paused_nothing_is_received",
    ),
    bug(
        "a call that was under way resumes a pause",
        "src/holds.rs",
        "let keys = keys.iter().filter(|key| key.kind() != Some(HoldKind::Pause));",
        "let keys = keys.iter();",
        LIB,
        "holds::tests::everything_is_paused_where_all_is_or_each_target",
    ),
    bug(
        "a paused batch goes on",
        "src/worker/admission.rs",
        "let paused = [HoldKey::pause_batch(&job.batch), HoldKey::pause_target(&job.target)];",
        "let paused = [HoldKey::pause_target(&job.target)];",
        IT,
        "pause::jobs_of_a_paused_batch_are_parked_and_others_go_on",
    ),
    bug(
        "what a list lacks counts as missing without asking",
        "src/reconcile/walk.rs",
        "let described = self.inventory.describe(id).await?;\n                said.push(Listed { id, status: described.map(|its| its.status) });",
        "said.push(Listed { id, status: None });",
        IT,
        "reconcile::scope::a_sample_asks_for_certificates_that_chance_chooses",
    ),
    bug(
        "what came back meanwhile is gone",
        "src/store/drift/changes.rs",
        "            and r.ended_at = k.ended_at and r.n_attempts = k.n_attempts\n",
        "",
        IT,
        "reconcile::rows::a_row_that_aws_was_called_for_meanwhile_stays_as_it_is",
    ),
    bug(
        "what is gone keeps no request",
        "src/store/drift/changes.rs",
        "request: request.clone(),",
        "request: None,",
        IT,
        "reconcile::repair::what_is_missing_is_registered_again_also_what_was_gone_before",
    ),
    bug(
        "marking miscounts",
        "src/store/drift/changes.rs",
        "                counted.disappears(&row, status);\n",
        "",
        IT,
        "reconcile::what_was_deleted_at_aws_is_gone_and_is_registered_again_when_it_is_given_again",
    ),
    bug(
        "missing before the queues were empty for long",
        "src/store/reading.rs",
        "having bool_and(empty_since is not null and",
        "having bool_or(empty_since is not null and",
        IT,
        "status::missing::queues_are_empty_while_every_reading_says_so",
    ),
    bug(
        "a formula in a table",
        "src/cli/export/csv.rs",
        "['=', '+', '-', '@', '\\t', '\\r']",
        "['=', '+', '-', '\\t', '\\r']",
        LIB,
        "cli::export::csv::tests::no_text_becomes_a_formula",
    ),
    bug(
        "a device is replaced by a file",
        "src/output_file.rs",
        "Ok(found) if found.is_file() => Self::replacing",
        "Ok(found) if !found.is_dir() => Self::replacing",
        LIB,
        "output_file::tests::a_device_is_written_and_never_replaced",
    ),
    bug(
        "a symlink is replaced by a file",
        "src/output_file.rs",
        "Ok(target) => path = folder_of(&path).join(target),",
        "Ok(_) => return Ok(path),",
        LIB,
        "output_file::tests::a_symlink_stays_and_the_file_it_points_to_is_replaced",
    ),
    bug(
        "a dead letter is deleted before it was sent",
        "src/cli/dead/sweep.rs",
        "Err(error) => *tally.refused.entry(error.code).or_default() += 1,",
        "Err(error) => {\n                    *tally.refused.entry(error.code).or_default() += 1;\n                    taken.push(message);\n                }",
        IT,
        "dead::what_sqs_does_not_take_stays_and_is_given_back",
    ),
    bug(
        "dropped rows stay counted",
        "src/store/prune.rs",
        "changes.change(key, -1, row.try_get(\"status_differs\")?);",
        "changes.change(key, 0, row.try_get(\"status_differs\")?);",
        IT,
        "prune::the_counters_are_right_after_every_page_beside_live_work",
    ),
    bug(
        "what is under way is dropped",
        "src/store/prune.rs",
        "\n            and (r.request is null or (r.waits_for is null and r.sent_again_at is null))",
        "",
        IT,
        "prune::what_is_under_way_stays_and_counts",
    ),
]
