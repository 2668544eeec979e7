"""Helpers for the rows about the register calls. They check each answer against AWS's model, which boto3 contains."""

from botocore.exceptions import ClientError
from sandbox_client import ACCOUNT, client, id_of, pem

IOT = client("iot")
ROWS = {}


class Certificates:
    """The certificates of one row, by name."""

    def __init__(self, row):
        self.row = row

    def __getattr__(self, name):
        return pem(f"{self.row}/{name}")


def row(check):
    ROWS[check.__name__] = check
    return check


def model(call):
    return IOT.meta.service_model.operation_model(IOT.meta.method_to_api_mapping[call])


def succeed(call, **arguments):
    """Makes a call that must succeed, and checks that its answer has the fields of the model."""
    answer = getattr(IOT, call)(**arguments)
    metadata = answer.pop("ResponseMetadata")
    assert metadata["HTTPStatusCode"] == 200 and metadata["RequestId"], metadata
    assert set(answer) == set(model(call).output_shape.members), answer
    return answer


def refused(call, code, **arguments):
    """Makes a call that must be refused, and checks that the model declares the exception."""
    declared = {shape.name: shape for shape in model(call).error_shapes}[code]
    try:
        answer = getattr(IOT, call)(**arguments)
    except ClientError as error:
        response = error.response
        assert isinstance(error, getattr(IOT.exceptions, code)), error
    else:
        raise AssertionError(f"no exception: {answer}")
    assert response["Error"]["Code"] == code and response["Error"]["Message"], response
    metadata = response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == declared.metadata["error"]["httpStatusCode"], response
    assert metadata["RequestId"], response
    return response


def register(certs, **arguments):
    return succeed("register_certificate", certificatePem=certs.leaf, **arguments)


def register_alone(certs, **arguments):
    return succeed("register_certificate_without_ca", certificatePem=certs.leaf, **arguments)


def register_ca(certs, **arguments):
    return succeed("register_ca_certificate", caCertificate=certs.ca, certificateMode="SNI_ONLY", **arguments)


def refused_ca(certs, code, **arguments):
    arguments = {"caCertificate": certs.ca, "certificateMode": "SNI_ONLY", **arguments}
    return refused("register_ca_certificate", code, **arguments)


def describe(certs):
    return IOT.describe_certificate(certificateId=id_of(certs.leaf))["certificateDescription"]


def describe_ca(certs):
    answer = IOT.describe_ca_certificate(certificateId=id_of(certs.ca))
    return answer["certificateDescription"], answer.get("registrationConfig")


def arn(kind, text):
    return f"arn:aws:iot:us-east-1:{ACCOUNT}:{kind}/{id_of(text)}"


def check_statuses(certs, call):
    """Registers the certificate with each status that a caller can give; without one it is INACTIVE."""
    for given, wanted in [({}, "INACTIVE"), *(({"status": s}, s) for s in ("INACTIVE", "REVOKED", "ACTIVE"))]:
        call(certs, **given)
        assert describe(certs)["status"] == wanted
        IOT.update_certificate(certificateId=id_of(certs.leaf), newStatus="INACTIVE")
        IOT.delete_certificate(certificateId=id_of(certs.leaf))
