"""The real engines start and answer."""

import boto3
import psycopg
import pytest
from kafka import KafkaAdminClient

pytestmark = pytest.mark.integration


def test_kafka_answers(kafka):
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    assert len(admin.describe_cluster()["brokers"]) == 1
    admin.close()


def test_postgresql_answers(postgresql):
    with psycopg.connect(postgresql.url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_s3_answers(s3):
    keys = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3.endpoint, **keys)
    client.put_object(Bucket="radloop", Key="engines/a", Body=b"x")
    assert client.get_object(Bucket="radloop", Key="engines/a")["Body"].read() == b"x"
