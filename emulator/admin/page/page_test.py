#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: page_test.py HYPERPOD_EMULATOR REPORTS

Headless Chromium, driven over its own protocol, uses the page of an emulator as a person would, while this program is
the emulator's client. Screenshots go to REPORTS. Exits with 77 where there is no browser to test with.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

SKIPPED = 77
PATIENCE_S = 60
BLOCK = 256 * 1024
BUCKETS = ["lmcache", "llama-3.1-70b", "qwen2.5-32b", "mistral", "checkpoints"]

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    print("SKIPPED: the page is not tested, python3-selenium is not installed")
    sys.exit(SKIPPED)
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not BROWSER or not DRIVER:
    print("SKIPPED: the page is not tested, chromium or chromium-driver is not installed")
    sys.exit(SKIPPED)

EMULATOR, REPORTS = sys.argv.pop(1), sys.argv.pop(1)


def ask(method, url, body=None, headers=None):
    """The status and the body of a response, whatever the status."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Emulator:
    def __init__(self, *options):
        self.process = subprocess.Popen(
            [EMULATOR, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--capacity", "256MiB", "--block-size",
             "256KiB", "--shm-name", f"hyperpod_page_test_{os.getpid()}_{time.monotonic_ns()}", *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        ready = json.loads(self.process.stdout.readline())
        self.url, self.admin = ready["url"], ready["admin"]

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()

    def put(self, key, size=1000, bucket="lmcache"):
        return ask("PUT", f"{self.url}/v1/kv/{bucket}/{key}", b"x" * size)[0]

    def lease(self, key, ttl_s=600.0, timeout_ms=0, bucket="lmcache"):
        return ask("POST", f"{self.url}/v1/kv/{bucket}/{key}/leases?timeout_ms={timeout_ms}&ttl_s={ttl_s}", b"")


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.profile = tempfile.mkdtemp(prefix="hyperpod_page_test_")
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         "--force-color-profile=srgb", "--hide-scrollbars", f"--user-data-dir={cls.profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        cls.browser = webdriver.Chrome(service=Service(DRIVER), options=options)
        os.makedirs(REPORTS, exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        cls.browser.quit()
        shutil.rmtree(cls.profile, ignore_errors=True)

    def open(self, *options, width=1280, height=1500):
        self.emulator = Emulator(*options)
        self.addCleanup(self.emulator.stop)
        self.browser.set_window_size(width, height)
        self.browser.get(self.emulator.admin + "/")

    def tearDown(self):
        # What the browser reports of pages is refused loads and errors of scripts; none is expected.
        wrong = [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]
        self.assertEqual(wrong, [])
        self.browser.get("about:blank")

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.browser.execute_script("return document.querySelector(arguments[0])?.textContent", selector) or ""

    def wait(self, what, condition):
        return WebDriverWait(self.browser, PATIENCE_S, poll_frequency=0.05).until(lambda _: condition(), what)

    def wait_ready(self):
        self.wait("the page to connect", lambda: self.text("#state") == "ready")

    def shot(self, name):
        self.browser.save_screenshot(os.path.join(REPORTS, f"page-{name}.png"))

    def switch(self, name):
        return f"[role=switch][data-name='{name}']"

    def test_a_stored_chunk_changes_the_map_and_its_lease_counts_down(self):
        self.open()
        self.wait_ready()
        self.assertEqual(self.browser.execute_script("return told.map.cells.length"), 1024)
        self.assertEqual(self.browser.execute_script("return told.map.cells[0][0]"), 0)
        before = self.browser.execute_script("return document.getElementById('map').toDataURL()")
        self.assertEqual(self.emulator.put("greeting"), 200)
        self.wait("an object", lambda: self.text("#tile-objects") == "1")
        self.wait("the map", lambda: self.browser.execute_script("return told.map.cells[0][0]") == 1)
        self.wait("the map to be drawn",
                  lambda: self.browser.execute_script("return document.getElementById('map').toDataURL()") != before)
        self.assertIn("lmcache", self.text("#legend"))

        self.assertEqual(self.emulator.lease("greeting")[0], 200)
        self.wait("the lease", lambda: self.text("#leases .name") == "lmcache/greeting")
        self.assertEqual(self.browser.execute_script("return told.map.cells[0][1]"), 1)
        first = self.text("#leases .left")
        self.assertRegex(first, r"^\d+ min \d+ s$")
        self.wait("the countdown", lambda: self.text("#leases .left") != first)

        self.find("#map").send_keys(Keys.HOME)
        self.wait("the cell's words", lambda: "block 0" in self.text("#map-cell"))
        self.assertIn("pinned", self.text("#map-cell"))
        self.find("#map").send_keys(Keys.ENTER)
        self.wait("the cell's objects", lambda: "lmcache/greeting" in self.text("#cell-objects"))

    def test_a_cell_of_many_objects_is_listed_page_by_page(self):
        self.open()
        self.wait_ready()
        for i in range(250):
            self.assertEqual(self.emulator.put(f"many-{i}", size=1), 200)
        self.wait("the objects", lambda: self.text("#tile-objects") == "250")
        # As if all blocks were one cell.
        self.browser.execute_script("cursor = 0; told.map.cells.length = 1; list_cell()")
        rows = lambda: len(self.browser.find_elements(By.CSS_SELECTOR, "#cell-objects .name"))
        more = lambda: self.browser.find_elements(By.CSS_SELECTOR, "#cell-objects button")
        self.wait("the first page", lambda: rows() == 100)
        more()[0].send_keys(Keys.ENTER)  # a click could miss, where the page above grows
        self.wait("the second page", lambda: rows() == 200)
        more()[0].send_keys(Keys.ENTER)  # a click could miss, where the page above grows
        self.wait("the last page", lambda: rows() == 250)
        self.wait("no more", lambda: not more())
        names = [each.text for each in self.browser.find_elements(By.CSS_SELECTOR, "#cell-objects .name")]
        self.assertEqual(len(set(names)), 250)

    def test_a_waiter_is_seen_until_its_key_is_stored(self):
        self.open()
        self.wait_ready()
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(self.emulator.lease("late", timeout_ms=50_000)[0]))
        waiter.start()
        self.wait("the waiter", lambda: self.text("#waiters .name") == "lmcache/late")
        self.assertEqual(self.emulator.put("late"), 200)
        waiter.join(PATIENCE_S)
        self.assertEqual(answers, [200])
        self.wait("the waiter to be gone", lambda: "No request waits" in self.text("#waiters"))
        self.wait("its lease", lambda: self.text("#leases .name") == "lmcache/late")

    def test_a_fault_is_switched_on_met_and_switched_off(self):
        self.open()
        self.wait_ready()
        field = self.find("#fault-json")
        field.clear()
        field.send_keys('{"name":"busy","match":{"operation":"put"},"effects":{"status":503}}')
        self.find("#new-fault button").click()
        self.wait("the fault", lambda: self.text("#faults .name") == "busy")
        switch = self.find(self.switch("busy"))
        self.assertEqual(self.emulator.put("refused"), 503)
        self.wait("its count", lambda: "fired 1 of 1" in self.text("#faults .count"))
        self.wait("the request", lambda: "busy" in self.text("#requests tbody"))

        switch.click()  # the same element, however often its count has changed
        self.wait("the fault to be off", lambda: self.text("#faults .count") == "off")
        self.assertEqual(self.emulator.put("stored"), 200)
        self.find(self.switch("busy")).click()
        self.wait("the fault to be on again", lambda: "fired 0 of 0" in self.text("#faults .count"))
        self.assertEqual(self.emulator.put("refused"), 503)

        field.clear()
        field.send_keys('{"effects":{"dealy":"1s"}}')
        self.find("#new-fault button").click()
        self.wait("the refusal", lambda: "dealy" in self.text("#notice"))
        self.browser.get_log("browser")  # the refusal is logged as a failed load

    def test_a_scenario_is_switched_on_and_off(self):
        self.open()
        self.wait_ready()
        self.wait("the scenarios", lambda: "lookups_all_miss" in self.text("#scenarios"))
        self.emulator.put("there")
        self.find("#scenarios " + self.switch("lookups_all_miss")).click()
        on = "#scenarios " + self.switch("lookups_all_miss") + "[aria-checked=true]"
        self.wait("the scenario", lambda: self.browser.find_elements(By.CSS_SELECTOR, on))
        self.assertEqual(self.emulator.lease("there")[0], 404)
        self.find(on).click()
        self.wait("the scenario to be off", lambda: not self.browser.find_elements(By.CSS_SELECTOR, on))
        self.assertEqual(self.emulator.lease("there")[0], 200)

    def test_requests_are_filtered_and_shown_in_full(self):
        self.open()
        self.wait_ready()
        ask("PUT", f"{self.emulator.url}/v1/kv/lmcache/one", b"x" * 1000, {"Authorization": "Bearer s3cret"})
        self.emulator.lease("two")
        self.wait("both requests", lambda: len(self.browser.find_elements(By.CSS_SELECTOR, "#requests tbody tr")) == 2)
        self.find("#filters [name=key]").send_keys("one")
        self.wait("the filter", lambda: len(self.browser.find_elements(By.CSS_SELECTOR, "#requests tbody tr")) == 1)
        row = self.find("#requests tbody tr")
        self.assertIn("lmcache/one", row.text)
        row.send_keys(Keys.ENTER)
        self.assertTrue(self.find("#detail").get_property("open"))
        detail = self.text("#detail")
        for part in ("PUT /v1/kv/lmcache/one", "200", "not held", "1,000 B"):
            self.assertIn(part, detail)
        self.wait("the heads", lambda: len(self.browser.find_elements(By.CSS_SELECTOR, "#detail-heads pre")) == 2)
        request, response = (each.text for each in self.browser.find_elements(By.CSS_SELECTOR, "#detail-heads pre"))
        self.assertTrue(request.startswith("PUT /v1/kv/lmcache/one HTTP/1.1"), request)
        self.assertIn("Content-Length: 1000", request)
        self.assertIn("Authorization: [redacted]", request)
        self.assertTrue(response.startswith("HTTP/1.1 200 OK"), response)
        self.shot("request")
        self.find("#detail").send_keys(Keys.ESCAPE)
        self.wait("the dialog to close", lambda: not self.find("#detail").get_property("open"))

    def test_a_lease_that_was_not_granted_says_why(self):
        self.open()
        self.wait_ready()
        self.emulator.put("gone")
        ask("POST", self.emulator.admin + "/v1/reset", b'{"only": ["objects"]}', {"Content-Type": "application/json"})
        reasons = {"gone": "and gone by then", "absent": "never stored"}
        for key in reasons:
            self.assertEqual(self.emulator.lease(key)[0], 504)
        misses = "#requests tbody td.miss"
        self.wait("both requests", lambda: len(self.browser.find_elements(By.CSS_SELECTOR, misses)) == 2)
        for row in self.browser.find_elements(By.CSS_SELECTOR, "#requests tbody tr:has(td.miss)"):
            reason = next(reasons[key] for key in reasons if f"lmcache/{key}" in row.text)
            row.send_keys(Keys.ENTER)
            self.wait("the reason", lambda: reason in self.text("#detail-list"))
            self.find("#detail").send_keys(Keys.ESCAPE)
            self.wait("the dialog to close", lambda: not self.find("#detail").get_property("open"))

    def test_checkpoints_are_shown_where_there_are_any(self):
        self.open()
        self.wait_ready()
        self.assertFalse(self.find("#checkpoints").is_displayed())
        cp = f"{self.emulator.url}/v1/cp"
        self.assertEqual(ask("POST", f"{cp}/namespaces/my%20run?num_ranks=2&steps_retained=9", b"")[0], 200)
        self.wait("the namespace", lambda: "my run" in self.text("#namespaces tbody"))
        for step in range(1, 8):
            for rank in (0, 1):
                self.assertEqual(ask("POST", f"{cp}/checkpoints/my%20run/{rank}/{step}", b"x" * 1024)[0], 200)
        self.assertEqual(ask("POST", f"{cp}/checkpoints/my%20run/0/8", b"x" * 1024)[0], 200)
        cells = lambda: self.browser.execute_script(
            "return [...document.querySelectorAll('#namespaces tbody td')].map((each) => each.textContent)")
        self.wait("its steps", lambda: cells() == ["my run", "2", "9", "15 KiB", "7, 6, 5, 4, 3 and 2 older", "8"])
        self.wait("the requests", lambda: "checkpoint_put" in self.text("#requests tbody"))
        self.assertIn("16", self.text("#tile-requests-note"))
        self.assertEqual(ask("DELETE", f"{cp}/namespaces/my%20run")[0], 200)
        self.wait("its end", lambda: not self.find("#checkpoints").is_displayed())

    def test_restart_and_reset_are_asked_twice(self):
        self.open()
        self.wait_ready()
        self.emulator.put("kept")
        self.wait("the object", lambda: self.text("#tile-objects") == "1")
        inode = self.browser.execute_script("return told.segment.inode")
        for button in ("[data-reset='']", "[data-incident=restart]"):
            self.find(button).click()
            self.assertTrue(self.find("#sure").get_property("open"))
            self.find("#sure [value=cancel]").click()
        self.assertEqual(ask("GET", self.emulator.admin + "/v1/statistics")[0], 200)
        self.assertEqual(self.text("#tile-objects"), "1")
        self.find("[data-reset='']").click()
        self.find("#sure-go").click()
        self.wait("the reset", lambda: self.text("#tile-objects") == "0")
        self.find("[data-incident=restart]").click()
        self.find("#sure-go").click()
        self.wait("another segment", lambda: self.browser.execute_script("return told.segment.inode") != inode)
        self.find("[data-incident=unlink_segment]").click()
        self.find("#sure-go").click()
        self.wait("not ready", lambda: self.text("#state").startswith("not ready"))

    def test_a_manual_clock_is_moved(self):
        self.open("--clock", "manual")
        self.wait_ready()
        self.emulator.put("key")
        self.assertEqual(self.emulator.lease("key", ttl_s=30.0)[0], 200)
        self.wait("the lease", lambda: self.text("#leases .left") == "30.0 s")
        self.find("[data-advance='10000']").click()
        self.wait("time to pass", lambda: self.text("#leases .left") == "20.0 s")
        self.find("[data-advance='60000']").click()
        self.wait("the lease to expire", lambda: "No lease" in self.text("#leases"))

    def test_it_finds_an_emulator_that_comes_back(self):
        self.open()
        self.wait_ready()
        address = self.emulator.admin.removeprefix("http://")
        self.emulator.stop()
        self.wait("the loss to be seen", lambda: self.text("#state") == "not connected")
        again = Emulator("--admin", address)
        self.addCleanup(again.stop)
        again.put("new")
        self.wait_ready()
        self.wait("the new one's object", lambda: self.text("#tile-objects") == "1")
        self.browser.get_log("browser")  # attempts in between are logged as failed loads

    def test_it_can_be_read_by_machines_and_on_small_screens(self):
        self.open(width=400, height=900)
        self.wait_ready()
        self.assertLessEqual(self.browser.execute_script("return document.documentElement.scrollWidth"), 500)
        wide = self.browser.execute_script("""
            const width = document.documentElement.clientWidth;
            return [...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll, .bars') &&
                e.getBoundingClientRect().right > width + 1).map((e) => e.id || e.tagName)""")
        self.assertEqual(wide, [])
        nameless = self.browser.execute_script("""
            const name = (e) => e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.title;
            return [...document.querySelectorAll('button, input, select, textarea, canvas, section')]
                .filter((e) => !name(e)).map((e) => e.outerHTML)""")
        self.assertEqual(nameless, [])
        silent = self.browser.execute_script(
            "return [...document.querySelectorAll('canvas')].filter((e) => e.getAttribute('role') !== 'img').length")
        self.assertEqual(silent, 0)

    def test_it_asks_for_the_token(self):
        with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
            file.write("s3cret\n")
            file.flush()
            self.open("--admin-token-file", file.name)
            self.wait("the question", lambda: self.find("#token").get_property("open"))
            self.find("#token-text").send_keys("s3cret", Keys.ENTER)
            self.wait_ready()
        self.browser.execute_script("sessionStorage.clear()")
        self.browser.get_log("browser")  # the refusals are logged as failed loads

    def test_it_shows_an_emulator_under_load(self):
        self.open()
        self.wait_ready()
        emulator = self.emulator
        ask("POST", emulator.admin + "/v1/faults",
            b'{"name":"slow","match":{"operation":"lease","every":12},"effects":{"delay":"40ms"}}',
            {"Content-Type": "application/json"})

        def work(number):
            for i in range(270):
                bucket = BUCKETS[(i // 9 + number) % len(BUCKETS)]
                key = f"{bucket}%408%400%40{(i * 7919 + number):08x}%40bfloat16"
                emulator.put(key, size=(1 + i % 3) * BLOCK, bucket=bucket)
                if i % 6 == 0:  # so that what is pinned leaves room on a slow machine, too
                    emulator.lease(key, ttl_s=3.0 + (i * 13 % 600), bucket=bucket)
                for hit in range(6):
                    status, grant = emulator.lease(key if hit else key + "0", ttl_s=5.0, bucket=bucket)
                    if status == 200:
                        ask("POST", f"{emulator.url}/v1/leases/{json.loads(grant)['id']}/release", b"")

        workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        waiters = [threading.Thread(target=lambda n=n: emulator.lease(f"prefix-{n}", timeout_ms=30_000 + 9000 * n,
                                                                     bucket="mistral")) for n in range(5)]
        for thread in workers + waiters:
            thread.start()
        for thread in workers:
            thread.join(4 * PATIENCE_S)
        self.wait("the figures", lambda: self.browser.execute_script("return series.length") > 4)
        self.assertEqual(self.text("#state"), "ready")
        try:
            self.find("#map").click()
            for theme in ("light", "dark"):
                self.browser.execute_script(
                    "document.documentElement.dataset.theme = arguments[0]; redraw();"
                    "document.getElementById('cell-objects').hidden = true; scrollTo(0, 0)", theme)
                self.shot(theme)
            self.browser.set_window_size(400, 1400)
            self.shot("small")
        finally:
            for n in range(5):
                emulator.put(f"prefix-{n}", bucket="mistral")
            for thread in waiters:
                thread.join(PATIENCE_S)
        self.assertGreater(int(self.browser.execute_script("return told.statistics.evictions")), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
