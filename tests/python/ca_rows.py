"""Rows about RegisterCACertificate."""

from register_calls import IOT, arn, describe, describe_ca, refused, refused_ca, register, register_ca, row, succeed
from sandbox_client import ACCOUNT, control, id_of, pem


@row
def register_ca_certificate_ca_certificate(certs):
    register_ca(certs)
    ca, _ = describe_ca(certs)
    assert ca["certificatePem"] == certs.ca and ca["status"] == "INACTIVE", ca


@row
def register_ca_certificate_verification_certificate(certs):
    succeed("register_ca_certificate", caCertificate=certs.ca, verificationCertificate=certs.proof)
    assert describe_ca(certs)[0]["certificateMode"] == "DEFAULT"


@row
def register_ca_certificate_set_as_active(certs):
    register_ca(certs, setAsActive=True)
    assert describe_ca(certs)[0]["status"] == "ACTIVE"


@row
def register_ca_certificate_allow_auto_registration(certs):
    register_ca(certs, allowAutoRegistration=True)
    assert describe_ca(certs)[0]["autoRegistrationStatus"] == "ENABLE"


@row
def register_ca_certificate_registration_config_template_body(certs):
    config = {"templateBody": '{"Resources": {}}'}
    register_ca(certs, registrationConfig=config)
    assert describe_ca(certs)[1] == config


@row
def register_ca_certificate_registration_config_role_arn(certs):
    config = {"templateBody": "{}", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/provisioning"}
    register_ca(certs, registrationConfig=config)
    assert describe_ca(certs)[1] == config


@row
def register_ca_certificate_registration_config_template_name(certs):
    config = {"templateName": "line-7"}
    register_ca(certs, registrationConfig=config)
    assert describe_ca(certs)[1] == config


@row
def register_ca_certificate_tags(certs):
    tags = [{"Key": "line", "Value": "7"}, {"Key": "plant", "Value": ""}]
    resource = register_ca(certs, tags=tags)["certificateArn"]
    assert IOT.list_tags_for_resource(resourceArn=resource)["tags"] == tags


@row
def register_ca_certificate_certificate_mode(certs):
    register_ca(certs, setAsActive=True)
    assert describe_ca(certs)[0]["certificateMode"] == "SNI_ONLY"
    register(certs)
    assert describe(certs)["certificateMode"] == "SNI_ONLY"


@row
def register_ca_certificate_certificate_arn(certs):
    assert register_ca(certs)["certificateArn"] == arn("cacert", certs.ca)


@row
def register_ca_certificate_certificate_id(certs):
    assert register_ca(certs)["certificateId"] == id_of(certs.ca)


@row
def register_ca_certificate_resource_already_exists(certs):
    first = register_ca(certs)
    again = refused_ca(certs, "ResourceAlreadyExistsException")
    assert (again["resourceId"], again["resourceArn"]) == (first["certificateId"], first["certificateArn"])


@row
def register_ca_certificate_resource_not_found(certs):
    code = "ResourceNotFoundException"
    refused_ca(certs, code, registrationConfig={"templateName": "line-8"})
    refused_ca(certs, code, registrationConfig={"roleArn": "arn:aws:iam::999999999999:role/provisioning"})


@row
def register_ca_certificate_registration_code_validation(certs):
    arguments = {"caCertificate": certs.ca, "verificationCertificate": certs.leaf}
    refused("register_ca_certificate", "RegistrationCodeValidationException", **arguments)


@row
def register_ca_certificate_certificate_validation(certs):
    refused_ca(certs, "CertificateValidationException", caCertificate=certs.leaf)


@row
def register_ca_certificate_limit_exceeded(certs):
    for i in range(10):
        control("POST", "cas", {"caCertificate": pem(f"namesake-{i}")})
    refused_ca(certs, "LimitExceededException", caCertificate=pem("namesake-10"))


@row
def register_ca_certificate_invalid_request(certs):
    code = "InvalidRequestException"
    refused_ca(certs, code, verificationCertificate=certs.proof)
    refused("register_ca_certificate", code, caCertificate=certs.ca)
    refused_ca(certs, code, tags=[{"Key": "aws:own", "Value": ""}])
