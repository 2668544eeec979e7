//! A certificate: its fields, every outcome and call, and what AWS says; and the search for one.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, PageProblem, PageResult, Section};
use super::parts::time;
use crate::http::document::path;
use crate::http::guard::Viewer;
use crate::http::request::{Fields, Params, PathOf};
use crate::http::site::Site;
use crate::operator::certificates::{
    AtAws, CertificateFields, CertificateQuery, KnownCertificate, RowLine, ShownCertificate, look_up,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SearchParams {
    q: String,
}

pub(super) async fn show(viewer: Viewer, State(site): State<Site>, PathOf(text): PathOf<String>) -> PageResult {
    let shown = look_up(&site.ledger, &CertificateQuery::of_text(&text)?).await?;
    render(&viewer, &site, &text, &shown).await
}

pub(super) async fn ask_aws(viewer: Viewer, State(site): State<Site>, PathOf(text): PathOf<String>) -> PageResult {
    let mut shown = look_up(&site.ledger, &CertificateQuery::of_text(&text)?).await?;
    shown.ask_aws(&site.config, &site.ledger).await?;
    render(&viewer, &site, &text, &shown).await
}

/// The search: with `q`, goes to the certificate; without, shows the form.
pub(super) async fn search_form(
    viewer: Viewer,
    State(site): State<Site>,
    Params(params): Params<SearchParams>,
) -> Result<Response, PageProblem> {
    let q = params.q.trim();
    if !q.is_empty() {
        return Ok(Redirect::to(&format!("/certificates/{}", path(q))).into_response());
    }
    let frame = Frame { site: &site, identity: &viewer.0, section: Section::Search };
    let content = html! {
        h1 { "Find a certificate" }
        form.stacked action="/search" method="post" {
            label for="text" { "Its id, serial number or ref, or the certificate itself as PEM" }
            textarea #text name="text" rows="12" required spellcheck="false" {}
            button { "Find" }
        }
    };
    Ok(frame.render("Find a certificate", &content).await?.into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct SearchFields {
    text: String,
}

/// Looks up a pasted certificate. The address of the result contains its id only.
pub(super) async fn search(
    _: Viewer,
    State(site): State<Site>,
    Fields(fields): Fields<SearchFields>,
) -> Result<Redirect, PageProblem> {
    let query = CertificateQuery::of_text(&fields.text)?;
    look_up(&site.ledger, &query).await?;
    let name = query.certificate().map_or_else(|| fields.text.trim().to_owned(), |its| its.id().to_string());
    Ok(Redirect::to(&format!("/certificates/{}", path(&name))))
}

async fn render(viewer: &Viewer, site: &Site, text: &str, shown: &ShownCertificate) -> PageResult {
    let frame = Frame { site, identity: &viewer.0, section: Section::Search };
    let content = html! {
        h1 { "Certificate" }
        // What AWS answered belongs to the moment of the question: such a page is not refreshed.
        div #certificate data-live data-once[shown.certificates.iter().any(|known| known.at_aws.is_some())] {
            @for known in &shown.certificates { (certificate(known)) }
        }
        @if shown.has_more { p { "There are more rows: only the first 100 are shown." } }
        form.inline action={ "/certificates/" (path(text)) "/describe" } method="post" {
            button { "Ask AWS what it knows now" }
        }
    };
    frame.render("Certificate", &content).await
}

fn certificate(known: &KnownCertificate) -> Markup {
    html! {
        section {
            h2.id {
                @match &known.certificate_id { Some(id) => (id), None => "A text without a readable certificate" }
            }
            @match &known.certificate {
                Some(its) => (fields(its)),
                None => p { "The ledger does not keep the certificate." },
            }
            @if let Some(answers) = &known.at_aws { (at_aws(answers)) }
            @for row in &known.rows { (outcome(row)) }
        }
    }
}

fn fields(its: &CertificateFields) -> Markup {
    html! {
        dl.fields {
            dt { "subject" } dd { (its.subject) }
            dt { "issuer" } dd { (its.issuer) }
            dt { "serial" } dd.id { (its.serial) }
            dt { "valid" } dd { (its.valid_from) " to " (its.valid_until) }
            dt { "key" } dd { (its.key) ", signed with " (its.signature_algorithm) }
        }
    }
}

fn at_aws(answers: &[AtAws]) -> Markup {
    html! {
        div.aws role="status" {
            h3 { "At AWS now" }
            ul {
                @for answer in answers {
                    li {
                        (answer.target) " (" (answer.account) " in " (answer.region) "): "
                        @match answer.is_there {
                            None => { "not asked, " (answer.problem.as_deref().unwrap_or("unknown")) }
                            Some(false) => "not registered",
                            Some(true) => {
                                (answer.status.as_deref().unwrap_or("status unknown"))
                                @if let Some(at) = answer.created_at { ", registered " (time(at)) }
                                @if let Some(mode) = &answer.mode { ", mode " (mode) }
                                @if let Some(ca) = &answer.ca_certificate_id { ", CA " span.id { (ca) } }
                            }
                        }
                    }
                }
                @if answers.is_empty() { li { "no target to ask" } }
            }
        }
    }
}

fn outcome(row: &RowLine) -> Markup {
    html! {
        article {
            h3 { "Batch " a href={ "/batches/" (path(&row.batch)) } { (row.batch) } ": " (row.status) " " (row.code) }
            @if let Some(detail) = &row.detail { p { (detail) } }
            dl.fields {
                dt { "target" } dd { (row.target) " (" (row.account) " in " (row.region) "), " (row.operation.to_string()) }
                dt { "ref" } dd { (row.reference.as_deref().unwrap_or("none")) }
                dt { "factory line" } dd { (row.source.as_deref().unwrap_or("none")) }
                @for other in &row.other_names {
                    dt { "also" }
                    dd { (other.reference.as_deref().unwrap_or("no ref")) ", line " (other.source.as_deref().unwrap_or("none")) }
                }
                dt { "status" }
                dd {
                    (row.wanted_status.to_string()) " requested, last known at AWS: "
                    @match row.known_status { Some(status) => (status.to_string()), None => "unknown" }
                }
                dt { "times" }
                dd { "sent " (time(row.sent_at)) ", received " (time(row.received_at)) ", recorded " (time(row.recorded_at)) }
                @if let Some(hold) = &row.waits_for { dt { "waits for" } dd { (hold) } }
                @if let Some(at) = row.resent_at { dt { "resent" } dd { (time(at)) ", no outcome yet" } }
                @if let Some(number) = row.replay { dt { "replay" } dd { a href={ "/replays/" (number) } { (number) } } }
                dt { "message" } dd.id { (row.message_id) }
                @if row.n_duplicates > 0 { dt { "duplicates" } dd { (row.n_duplicates) " further messages" } }
            }
            @if !row.attempts.is_empty() {
                div.scroll role="group" aria-label="Calls" tabindex="0" { table {
                    caption { (row.n_attempts) " calls" @if row.n_attempts > row.attempts.len() { ", the last " (row.attempts.len()) } }
                    thead { tr { th { "called" } th { "result" } th.n { "ms" } th { "AWS request id" } } }
                    tbody {
                        @for call in &row.attempts {
                            tr {
                                td { (time(call.at)) } td { (call.result) } td.n { (call.ms) }
                                td.id { (call.request_id.as_deref().unwrap_or("none")) }
                            }
                        }
                    }
                } }
            }
        }
    }
}
