"""SQS, AWS IoT and STS of the sandbox through the AWS SDK for Python, an independent client of all three protocols.

Run by tests/it/sandbox/boto3.rs, which starts a fresh sandbox and makes the certificates:
    python3 boto3_against_sandbox.py URL FOLDER
"""

import datetime
import hashlib
import json
import unittest

import boto3
from botocore.exceptions import ClientError
from sandbox_client import ACCOUNT, URL, client, id_of, pem


class Sandbox(unittest.TestCase):
    def refused(self, call, **arguments):
        """The error code, in the spelling that boto3 shows, and the HTTP status."""
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        answer = caught.exception.response
        self.assertTrue(answer["ResponseMetadata"]["RequestId"])
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


class Sts(Sandbox):
    def test_get_caller_identity_returns_the_account(self):
        self.assertEqual(client("sts").get_caller_identity()["Account"], ACCOUNT)

    def test_a_role_is_assumed(self):
        role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/muster", "RoleSessionName": "line-7"}
        answer = client("sts").assume_role(**role, ExternalId="plant 3", DurationSeconds=900)
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/muster/line-7"
        self.assertEqual(answer["AssumedRoleUser"]["Arn"], arn)
        keys = answer["Credentials"]
        duration = keys["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
        self.assertLess(abs(duration.total_seconds() - 900), 60)
        session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        caller = session.client("sts", endpoint_url=URL, region_name="us-east-1").get_caller_identity()
        self.assertEqual((caller["Arn"], caller["Account"]), (arn, ACCOUNT))
        role["RoleArn"] = "arn:aws:iam::999999999999:role/muster"
        self.assertEqual(self.refused(client("sts").assume_role, **role), ("AccessDenied", 403))


class Sqs(Sandbox):
    def setUp(self):
        self.sqs = client("sqs")
        self.url = self.sqs.create_queue(QueueName=f"q-{self._testMethodName}"[:80])["QueueUrl"]

    def test_a_message_is_sent_received_and_deleted(self):
        attributes = {
            "colour": {"DataType": "String", "StringValue": "red"},
            "blob": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        }
        sent = self.sqs.send_message(
            QueueUrl=self.url, MessageBody="héllo", MessageGroupId="line-7", MessageAttributes=attributes
        )
        self.assertEqual(sent["MD5OfMessageBody"], hashlib.md5("héllo".encode()).hexdigest())
        received = self.sqs.receive_message(
            QueueUrl=self.url,
            WaitTimeSeconds=5,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )["Messages"]
        self.assertEqual([m["MessageId"] for m in received], [sent["MessageId"]])
        message = received[0]
        self.assertEqual(message["Body"], "héllo")
        self.assertEqual(message["Attributes"]["ApproximateReceiveCount"], "1")
        self.assertEqual(message["Attributes"]["MessageGroupId"], "line-7")
        self.assertEqual(message["MessageAttributes"]["blob"]["BinaryValue"], b"\x00\x01")
        self.assertEqual(message["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"])
        handle = message["ReceiptHandle"]
        self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=60)
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=handle)
        self.assertNotIn("Messages", self.sqs.receive_message(QueueUrl=self.url))

    def test_batches_are_answered_entry_by_entry(self):
        bodies = {"a": "1", "b": "bad \x0b", "c": "3"}
        entries = [{"Id": name, "MessageBody": body} for name, body in bodies.items()]
        sent = self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
        self.assertEqual([entry["Id"] for entry in sent["Successful"]], ["a", "c"])
        self.assertEqual([(e["Id"], e["Code"], e["SenderFault"]) for e in sent["Failed"]],
                         [("b", "InvalidMessageContents", True)])
        received = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)["Messages"]
        entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(received)]
        hidden = self.sqs.change_message_visibility_batch(
            QueueUrl=self.url, Entries=[dict(entry, VisibilityTimeout=90) for entry in entries]
        )
        self.assertEqual(len(hidden["Successful"]), 2)
        deleted = self.sqs.delete_message_batch(QueueUrl=self.url, Entries=entries)
        self.assertEqual(len(deleted["Successful"]), 2)
        self.assertNotIn("Failed", deleted)

    def test_attributes_are_text(self):
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": "77"})
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        self.assertEqual(attributes["VisibilityTimeout"], "77")
        self.assertEqual(attributes["ApproximateNumberOfMessages"], "0")
        self.assertTrue(attributes["QueueArn"].startswith(f"arn:aws:sqs:us-east-1:{ACCOUNT}:"))
        name = self.url.rsplit("/", 1)[1]
        self.assertEqual(self.sqs.get_queue_url(QueueName=name)["QueueUrl"], self.url)
        self.assertIn(self.url, self.sqs.list_queues(QueueNamePrefix="q-")["QueueUrls"])
        self.sqs.purge_queue(QueueUrl=self.url)

    def test_errors_have_the_codes_of_both_generations(self):
        with self.assertRaises(self.sqs.exceptions.QueueDoesNotExist) as caught:
            self.sqs.get_queue_url(QueueName="nowhere")
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], "AWS.SimpleQueueService.NonExistentQueue")
        self.assertEqual(error["QueryErrorCode"], "QueueDoesNotExist")
        send, receive = self.sqs.send_message, self.sqs.receive_message
        self.assertEqual(self.refused(send, QueueUrl=self.url, MessageBody="\x00"), ("InvalidMessageContents", 400))
        self.assertEqual(self.refused(receive, QueueUrl=self.url, WaitTimeSeconds=21), ("InvalidParameterValue", 400))
        twins = [{"Id": "a", "MessageBody": "x"}] * 2
        self.assertEqual(
            self.refused(self.sqs.send_message_batch, QueueUrl=self.url, Entries=twins),
            ("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400),
        )

    def test_a_message_received_too_often_becomes_a_dead_letter(self):
        dead = self.sqs.create_queue(QueueName="dead")["QueueUrl"]
        policy = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead", "maxReceiveCount": 1}
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"RedrivePolicy": json.dumps(policy)})
        self.sqs.send_message(QueueUrl=self.url, MessageBody="poison")
        self.assertEqual(len(self.sqs.receive_message(QueueUrl=self.url, VisibilityTimeout=0)["Messages"]), 1)
        self.assertNotIn("Messages", self.sqs.receive_message(QueueUrl=self.url))
        self.assertEqual(self.sqs.receive_message(QueueUrl=dead)["Messages"][0]["Body"], "poison")


class Iot(Sandbox):
    """The tests share one account, in which the CA `ca` is registered."""

    @classmethod
    def setUpClass(cls):
        cls.iot = client("iot")
        cls.iot.register_ca_certificate(caCertificate=pem("ca"), certificateMode="SNI_ONLY", setAsActive=True)

    def test_a_certificate_is_registered_described_and_listed(self):
        text = pem("leaf")
        answer = self.iot.register_certificate(certificatePem=text, caCertificatePem=pem("ca"), status="ACTIVE")
        self.assertEqual(answer["certificateId"], id_of(text))
        self.assertEqual(answer["certificateArn"], f"arn:aws:iot:us-east-1:{ACCOUNT}:cert/{id_of(text)}")
        described = self.iot.describe_certificate(certificateId=id_of(text))["certificateDescription"]
        self.assertEqual((described["status"], described["certificateMode"]), ("ACTIVE", "SNI_ONLY"))
        self.assertEqual(described["creationDate"].year, described["lastModifiedDate"].year)
        listed = self.iot.list_certificates(pageSize=250)["certificates"]
        self.assertIn(id_of(text), [certificate["certificateId"] for certificate in listed])

        with self.assertRaises(self.iot.exceptions.ResourceAlreadyExistsException) as caught:
            self.iot.register_certificate(certificatePem=text)
        self.assertEqual(caught.exception.response["resourceId"], id_of(text))
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 409)

    def test_refusals_have_awss_codes(self):
        register = self.iot.register_certificate
        self.assertEqual(self.refused(register, certificatePem="x"), ("CertificateValidationException", 400))
        self.assertEqual(self.refused(register, certificatePem=pem("expired")), ("CertificateValidationException", 400))
        self.assertEqual(self.refused(register, certificatePem=pem("foreign")), ("CertificateStateException", 406))
        self.assertEqual(
            self.refused(register, certificatePem=pem("leaf"), status="PENDING_ACTIVATION"),
            ("CertificateStateException", 406),
        )
        self.assertEqual(
            self.refused(self.iot.describe_certificate, certificateId="0" * 64), ("ResourceNotFoundException", 404)
        )

    def test_a_ca_is_described(self):
        described = self.iot.describe_ca_certificate(certificateId=id_of(pem("ca")))["certificateDescription"]
        self.assertEqual((described["status"], described["certificateMode"]), ("ACTIVE", "SNI_ONLY"))
        self.assertEqual(described["validity"]["notAfter"].year, 9999)
        self.assertEqual(len(self.iot.get_registration_code()["registrationCode"]), 64)


if __name__ == "__main__":
    unittest.main()
