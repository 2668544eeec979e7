"""Rows about RegisterCACertificate."""

from register_calls import IOT, answered, arn, described, described_ca, refused, refused_ca, register, register_ca, row
from sandbox_client import ACCOUNT, control, id_of, pem


@row
def register_ca_certificate_ca_certificate(of):
    register_ca(of)
    ca, _ = described_ca(of)
    assert ca["certificatePem"] == of.ca and ca["status"] == "INACTIVE", ca


@row
def register_ca_certificate_verification_certificate(of):
    answered("register_ca_certificate", caCertificate=of.ca, verificationCertificate=of.proof)
    assert described_ca(of)[0]["certificateMode"] == "DEFAULT"


@row
def register_ca_certificate_set_as_active(of):
    register_ca(of, setAsActive=True)
    assert described_ca(of)[0]["status"] == "ACTIVE"


@row
def register_ca_certificate_allow_auto_registration(of):
    register_ca(of, allowAutoRegistration=True)
    assert described_ca(of)[0]["autoRegistrationStatus"] == "ENABLE"


@row
def register_ca_certificate_registration_config_template_body(of):
    config = {"templateBody": '{"Resources": {}}'}
    register_ca(of, registrationConfig=config)
    assert described_ca(of)[1] == config


@row
def register_ca_certificate_registration_config_role_arn(of):
    config = {"templateBody": "{}", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/provisioning"}
    register_ca(of, registrationConfig=config)
    assert described_ca(of)[1] == config


@row
def register_ca_certificate_registration_config_template_name(of):
    config = {"templateName": "line-7"}
    register_ca(of, registrationConfig=config)
    assert described_ca(of)[1] == config


@row
def register_ca_certificate_tags(of):
    tags = [{"Key": "line", "Value": "7"}, {"Key": "plant", "Value": ""}]
    resource = register_ca(of, tags=tags)["certificateArn"]
    assert IOT.list_tags_for_resource(resourceArn=resource)["tags"] == tags


@row
def register_ca_certificate_certificate_mode(of):
    register_ca(of, setAsActive=True)
    assert described_ca(of)[0]["certificateMode"] == "SNI_ONLY"
    register(of)
    assert described(of)["certificateMode"] == "SNI_ONLY"


@row
def register_ca_certificate_certificate_arn(of):
    assert register_ca(of)["certificateArn"] == arn("cacert", of.ca)


@row
def register_ca_certificate_certificate_id(of):
    assert register_ca(of)["certificateId"] == id_of(of.ca)


@row
def register_ca_certificate_resource_already_exists(of):
    first = register_ca(of)
    again = refused_ca(of, "ResourceAlreadyExistsException")
    assert (again["resourceId"], again["resourceArn"]) == (first["certificateId"], first["certificateArn"])


@row
def register_ca_certificate_resource_not_found(of):
    code = "ResourceNotFoundException"
    refused_ca(of, code, registrationConfig={"templateName": "line-8"})
    refused_ca(of, code, registrationConfig={"roleArn": "arn:aws:iam::999999999999:role/provisioning"})


@row
def register_ca_certificate_registration_code_validation(of):
    arguments = {"caCertificate": of.ca, "verificationCertificate": of.leaf}
    refused("register_ca_certificate", "RegistrationCodeValidationException", **arguments)


@row
def register_ca_certificate_certificate_validation(of):
    refused_ca(of, "CertificateValidationException", caCertificate=of.leaf)


@row
def register_ca_certificate_limit_exceeded(of):
    for i in range(10):
        control("POST", "cas", {"caCertificate": pem(f"namesake-{i}")})
    refused_ca(of, "LimitExceededException", caCertificate=pem("namesake-10"))


@row
def register_ca_certificate_invalid_request(of):
    code = "InvalidRequestException"
    refused_ca(of, code, verificationCertificate=of.proof)
    refused("register_ca_certificate", code, caCertificate=of.ca)
    refused_ca(of, code, tags=[{"Key": "aws:own", "Value": ""}])
