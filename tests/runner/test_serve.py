"""The server's own part, with a classifier that tells what was asked of it."""

import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tflite_edge.runner.serve import Server


class Slow:
    """most: how many images were decoded at the same time."""

    def __init__(self):
        self.now, self.most = 0, 0

    def load(self, name, data):
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.02)
        self.now -= 1
        return data

    def answer(self, raw):
        return {"ms": 1.0, "bytes": len(raw)}


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Slow()) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def post(server, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/classify", b"image", headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_images_are_decoded_one_at_a_time(server):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: post(server), range(8))) == {200}
    assert server.classifier.most == 1


def test_a_page_in_a_browser_is_not_answered(server):
    assert post(server, Origin="http://elsewhere.example") == 403
    assert post(server, Origin="null") == 403
