"""Rows that every register call has: a throttle by the quota itself, and errors that only an injected fault causes."""

import functools

from botocore import xform_name
from register_calls import IOT, ROWS, refused
from sandbox_client import control

RATE = 1e6


def throttling(call, arguments, _):
    rate = f"rates/{IOT.meta.method_to_api_mapping[call]}"
    control("PUT", rate, {"rate": 0.001})
    try:
        refused(call, "CertificateValidationException", **arguments)
        refused(call, "ThrottlingException", **arguments)
    finally:
        control("PUT", rate, {"rate": RATE})


def injected(call, arguments, code, status, _):
    error = {"status": status, "code": code, "message": "as ordered"}
    fault = {"operation": IOT.meta.method_to_api_mapping[call], "effect": {"error": error}, "calls": 1}
    control("POST", "faults", fault)
    assert refused(call, code, **arguments)["Error"]["Message"] == "as ordered"


for call, arguments in [
    ("register_certificate", {"certificatePem": "x"}),
    ("register_certificate_without_ca", {"certificatePem": "x"}),
    ("register_ca_certificate", {"caCertificate": "x", "certificateMode": "SNI_ONLY"}),
]:
    ROWS[f"{call}_throttling"] = functools.partial(throttling, call, arguments)
    for code, status in [
        ("UnauthorizedException", 401),
        ("ServiceUnavailableException", 503),
        ("InternalFailureException", 500),
    ]:
        name = f"{call}_{xform_name(code).removesuffix('_exception')}"
        ROWS[name] = functools.partial(injected, call, arguments, code, status)
