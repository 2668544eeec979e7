"""How rows about the register calls are made, and how AWS's own model, as boto3 carries it, judges each answer."""

from botocore.exceptions import ClientError
from sandbox_client import ACCOUNT, client, id_of, pem

IOT = client("iot")
ROWS = {}


class Certificates:
    """The certificates of one row, by what they are."""

    def __init__(self, row):
        self.row = row

    def __getattr__(self, name):
        return pem(f"{self.row}/{name}")


def row(check):
    ROWS[check.__name__] = check
    return check


def model(call):
    return IOT.meta.service_model.operation_model(IOT.meta.method_to_api_mapping[call])


def answered(call, **arguments):
    """Makes a call that goes well, and checks that its answer has the fields of the model."""
    answer = getattr(IOT, call)(**arguments)
    metadata = answer.pop("ResponseMetadata")
    assert metadata["HTTPStatusCode"] == 200 and metadata["RequestId"], metadata
    assert set(answer) == set(model(call).output_shape.members), answer
    return answer


def refused(call, code, **arguments):
    """Makes a call that is refused, and checks that the exception is one that the model declares."""
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


def register(of, **arguments):
    return answered("register_certificate", certificatePem=of.leaf, **arguments)


def register_alone(of, **arguments):
    return answered("register_certificate_without_ca", certificatePem=of.leaf, **arguments)


def register_ca(of, **arguments):
    return answered("register_ca_certificate", caCertificate=of.ca, certificateMode="SNI_ONLY", **arguments)


def refused_ca(of, code, **arguments):
    arguments = {"caCertificate": of.ca, "certificateMode": "SNI_ONLY", **arguments}
    return refused("register_ca_certificate", code, **arguments)


def described(of):
    return IOT.describe_certificate(certificateId=id_of(of.leaf))["certificateDescription"]


def described_ca(of):
    answer = IOT.describe_ca_certificate(certificateId=id_of(of.ca))
    return answer["certificateDescription"], answer.get("registrationConfig")


def arn(kind, text):
    return f"arn:aws:iot:us-east-1:{ACCOUNT}:{kind}/{id_of(text)}"


def check_statuses(of, call):
    """Registers the certificate with each status that a caller can give; without one it is INACTIVE."""
    for given, wanted in [({}, "INACTIVE"), *(({"status": s}, s) for s in ("INACTIVE", "REVOKED", "ACTIVE"))]:
        call(of, **given)
        assert described(of)["status"] == wanted
        IOT.update_certificate(certificateId=id_of(of.leaf), newStatus="INACTIVE")
        IOT.delete_certificate(certificateId=id_of(of.leaf))
