"""Rows about RegisterCertificate and RegisterCertificateWithoutCA."""

from register_calls import arn, check_statuses, describe, refused, register, register_alone, register_ca, row
from sandbox_client import control, id_of


@row
def register_certificate_certificate_pem(certs):
    register_ca(certs, setAsActive=True)
    register(certs)
    assert describe(certs)["certificatePem"] == certs.leaf


@row
def register_certificate_ca_certificate_pem(certs):
    for ca in (certs.ca, certs.twin):
        control("POST", "cas", {"caCertificate": ca})
    register(certs, caCertificatePem=certs.ca)
    assert describe(certs)["caCertificateId"] == id_of(certs.ca)


@row
def register_certificate_set_as_active(certs):
    register_ca(certs, setAsActive=True)
    register(certs, setAsActive=True)
    assert describe(certs)["status"] == "ACTIVE"


@row
def register_certificate_status(certs):
    register_ca(certs, setAsActive=True)
    check_statuses(certs, register)


@row
def register_certificate_certificate_arn(certs):
    register_ca(certs, setAsActive=True)
    assert register(certs)["certificateArn"] == arn("cert", certs.leaf)


@row
def register_certificate_certificate_id(certs):
    register_ca(certs, setAsActive=True)
    assert register(certs)["certificateId"] == id_of(certs.leaf)


@row
def register_certificate_resource_already_exists(certs):
    register_ca(certs, setAsActive=True)
    first = register(certs)
    again = refused("register_certificate", "ResourceAlreadyExistsException", certificatePem=certs.leaf)
    assert (again["resourceId"], again["resourceArn"]) == (first["certificateId"], first["certificateArn"])


@row
def register_certificate_certificate_validation(certs):
    register_ca(certs, setAsActive=True)
    for text in (certs.expired, certs.forged, "no certificate"):
        refused("register_certificate", "CertificateValidationException", certificatePem=text)


@row
def register_certificate_certificate_state(certs):
    code = "CertificateStateException"
    refused("register_certificate", code, certificatePem=certs.leaf)
    register_ca(certs)
    refused("register_certificate", code, certificatePem=certs.leaf)
    refused("register_certificate", code, certificatePem=certs.leaf, status="PENDING_ACTIVATION")


@row
def register_certificate_certificate_conflict(certs):
    for ca in (certs.ca, certs.twin):
        control("POST", "cas", {"caCertificate": ca})
    refused("register_certificate", "CertificateConflictException", certificatePem=certs.leaf)


@row
def register_certificate_invalid_request(certs):
    register_ca(certs, setAsActive=True)
    refused("register_certificate", "InvalidRequestException", certificatePem=certs.leaf, caCertificatePem=" " * 65537)


@row
def register_certificate_without_ca_certificate_pem(certs):
    register_alone(certs)
    assert describe(certs)["certificatePem"] == certs.leaf
    assert describe(certs)["certificateMode"] == "SNI_ONLY" and "caCertificateId" not in describe(certs)


@row
def register_certificate_without_ca_status(certs):
    check_statuses(certs, register_alone)


@row
def register_certificate_without_ca_certificate_arn(certs):
    assert register_alone(certs)["certificateArn"] == arn("cert", certs.leaf)


@row
def register_certificate_without_ca_certificate_id(certs):
    assert register_alone(certs)["certificateId"] == id_of(certs.leaf)


@row
def register_certificate_without_ca_resource_already_exists(certs):
    first = register_alone(certs)
    again = refused("register_certificate_without_ca", "ResourceAlreadyExistsException", certificatePem=certs.leaf)
    assert (again["resourceId"], again["resourceArn"]) == (first["certificateId"], first["certificateArn"])


@row
def register_certificate_without_ca_certificate_validation(certs):
    for text in (certs.expired, "no certificate"):
        refused("register_certificate_without_ca", "CertificateValidationException", certificatePem=text)


@row
def register_certificate_without_ca_certificate_state(certs):
    code = "CertificateStateException"
    refused("register_certificate_without_ca", code, certificatePem=certs.leaf, status="PENDING_TRANSFER")


@row
def register_certificate_without_ca_invalid_request(_):
    refused("register_certificate_without_ca", "InvalidRequestException", certificatePem=" " * 65537)
