"""Rows about RegisterCertificate and RegisterCertificateWithoutCA."""

from register_calls import arn, check_statuses, described, refused, register, register_alone, register_ca, row
from sandbox_client import control, id_of


@row
def register_certificate_certificate_pem(of):
    register_ca(of, setAsActive=True)
    register(of)
    assert described(of)["certificatePem"] == of.leaf


@row
def register_certificate_ca_certificate_pem(of):
    for ca in (of.ca, of.twin):
        control("POST", "cas", {"caCertificate": ca})
    register(of, caCertificatePem=of.ca)
    assert described(of)["caCertificateId"] == id_of(of.ca)


@row
def register_certificate_set_as_active(of):
    register_ca(of, setAsActive=True)
    register(of, setAsActive=True)
    assert described(of)["status"] == "ACTIVE"


@row
def register_certificate_status(of):
    register_ca(of, setAsActive=True)
    check_statuses(of, register)


@row
def register_certificate_certificate_arn(of):
    register_ca(of, setAsActive=True)
    assert register(of)["certificateArn"] == arn("cert", of.leaf)


@row
def register_certificate_certificate_id(of):
    register_ca(of, setAsActive=True)
    assert register(of)["certificateId"] == id_of(of.leaf)


@row
def register_certificate_resource_already_exists(of):
    register_ca(of, setAsActive=True)
    first = register(of)
    again = refused("register_certificate", "ResourceAlreadyExistsException", certificatePem=of.leaf)
    assert (again["resourceId"], again["resourceArn"]) == (first["certificateId"], first["certificateArn"])


@row
def register_certificate_certificate_validation(of):
    register_ca(of, setAsActive=True)
    for text in (of.expired, of.forged, "no certificate"):
        refused("register_certificate", "CertificateValidationException", certificatePem=text)


@row
def register_certificate_certificate_state(of):
    code = "CertificateStateException"
    refused("register_certificate", code, certificatePem=of.leaf)
    register_ca(of)
    refused("register_certificate", code, certificatePem=of.leaf)
    refused("register_certificate", code, certificatePem=of.leaf, status="PENDING_ACTIVATION")


@row
def register_certificate_certificate_conflict(of):
    for ca in (of.ca, of.twin):
        control("POST", "cas", {"caCertificate": ca})
    refused("register_certificate", "CertificateConflictException", certificatePem=of.leaf)


@row
def register_certificate_invalid_request(of):
    register_ca(of, setAsActive=True)
    refused("register_certificate", "InvalidRequestException", certificatePem=of.leaf, caCertificatePem=" " * 65537)


@row
def register_certificate_without_ca_certificate_pem(of):
    register_alone(of)
    assert described(of)["certificatePem"] == of.leaf
    assert described(of)["certificateMode"] == "SNI_ONLY" and "caCertificateId" not in described(of)


@row
def register_certificate_without_ca_status(of):
    check_statuses(of, register_alone)


@row
def register_certificate_without_ca_certificate_arn(of):
    assert register_alone(of)["certificateArn"] == arn("cert", of.leaf)


@row
def register_certificate_without_ca_certificate_id(of):
    assert register_alone(of)["certificateId"] == id_of(of.leaf)


@row
def register_certificate_without_ca_resource_already_exists(of):
    first = register_alone(of)
    again = refused("register_certificate_without_ca", "ResourceAlreadyExistsException", certificatePem=of.leaf)
    assert (again["resourceId"], again["resourceArn"]) == (first["certificateId"], first["certificateArn"])


@row
def register_certificate_without_ca_certificate_validation(of):
    for text in (of.expired, "no certificate"):
        refused("register_certificate_without_ca", "CertificateValidationException", certificatePem=text)


@row
def register_certificate_without_ca_certificate_state(of):
    code = "CertificateStateException"
    refused("register_certificate_without_ca", code, certificatePem=of.leaf, status="PENDING_TRANSFER")


@row
def register_certificate_without_ca_invalid_request(_):
    refused("register_certificate_without_ca", "InvalidRequestException", certificatePem=" " * 65537)
