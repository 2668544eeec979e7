"""Puts device certificates on Muster's queue, as a factory line would.

python3 enqueue_with_boto3.py QUEUE BATCH FILE...
"""

import json
import pathlib
import sys
import time

import boto3

SOURCE = "plant-3/line-7"  # the name of this line
ATTEMPTS = 5


def job(path, batch, batch_size):
    """One message: one certificate."""
    return {
        "version": 1,
        "operation": "RegisterCertificate",
        "batch": batch,
        "batchSize": batch_size,
        "source": SOURCE,
        "ref": path.stem,
        "request": {"certificatePem": path.read_text(), "status": "ACTIVE"},
    }


def send_ten(sqs, url, jobs):
    """Sends up to ten jobs in one call and returns those that SQS did not accept."""
    # The group lets SQS deliver fairly among lines, so that a long batch of one line does not hold up another.
    entries = [
        {"Id": str(i), "MessageBody": json.dumps(job), "MessageGroupId": SOURCE}
        for i, job in enumerate(jobs)
    ]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    for entry in answer.get("Failed", []):
        print(f"{jobs[int(entry['Id'])]['ref']}: {entry['Code']}: {entry.get('Message')}", file=sys.stderr)
    # The call succeeds even if single entries fail: only those that the answer lists as successful were accepted.
    taken = {entry["Id"] for entry in answer.get("Successful", [])}
    return [job for i, job in enumerate(jobs) if str(i) not in taken]


def send(sqs, url, jobs):
    """Sends all jobs, ten per call, and returns those that SQS did not accept after all retries."""
    lost = []
    for start in range(0, len(jobs), 10):
        waiting = jobs[start : start + 10]
        for attempt in range(ATTEMPTS):
            waiting = send_ten(sqs, url, waiting)
            if not waiting:
                break
            time.sleep(0.2 * 2**attempt)
        lost += waiting
    return lost


def main(queue, batch, *files):
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    jobs = [job(pathlib.Path(file), batch, len(files)) for file in files]
    lost = send(sqs, url, jobs)
    print(f"sent {len(jobs) - len(lost)} of {len(jobs)}")
    # Running it again is harmless: a certificate that is already registered costs nothing.
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
