"""Helpers for the scripts that test a sandbox through boto3. Run them as SCRIPT URL FOLDER."""

import hashlib
import json
import pathlib
import ssl
import sys
import urllib.request

import boto3
from botocore.config import Config

URL = sys.argv.pop(1)
FOLDER = pathlib.Path(sys.argv.pop(1))
ACCOUNT = "000000000000"


def client(service):
    return boto3.client(
        service,
        endpoint_url=URL,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def pem(name):
    return (FOLDER / f"{name}.pem").read_text()


def id_of(text):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def control(method, path, body=None):
    """Makes one request to the sandbox's control interface."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/_sandbox/{path}", data, method=method)) as answer:
        return json.loads(answer.read() or "null")
