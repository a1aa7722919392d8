"""The page in a real browser: drop a clip, read the answers, follow them."""

import shutil

import numpy as np
import PIL.Image
import pytest

from crab_jax.serving import clips
from crab_jax.serving import failures
from crab_jax.serving import interface
from crab_jax.serving import streaming
from tests.serving import doubles

playwright = pytest.importorskip("playwright.sync_api")
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(_CHROMIUM is None, reason="no chromium")


@pytest.fixture(scope="module")
def browser():
  with playwright.sync_playwright() as found:
    yield found.chromium.launch(
      executable_path=_CHROMIUM, args=["--no-sandbox"]
    )


def _is_bad(message):
  """Chromium notes a refused request; that is no error of the page."""
  return message.type == "error" and "status of 400" not in message.text


@pytest.fixture
def open_page(browser, listening):
  """Opens the page, and checks that it has neither failed nor strayed."""
  problems, pages = [], []

  def opened(**settings):
    page = browser.new_page(**settings)
    page.on("console", lambda m: problems.append(m.text) if _is_bad(m) else 0)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
      "request",
      lambda r: (
        None
        if r.url.startswith((listening.url, "blob:", "data:"))
        else problems.append(r.url)
      ),
    )
    page.goto(listening.url)
    page.wait_for_selector("text=all that fit")
    pages.append(page)
    return page

  yield opened
  for page in pages:
    page.close()
  assert not problems


def _choose(page, media, *names):
  kinds = {"mp4": "video/mp4", "wav": "audio/wav", "png": "image/png"}
  page.set_input_files(
    "#file",
    [{"name": n, "mimeType": kinds[n[-3:]], "buffer": media[n]} for n in names],
  )


def _answered(page):
  page.wait_for_function(
    "() => /Done|Failed/.test(document.querySelector('#state').textContent)",
    timeout=60_000,
  )
  return page.inner_text("#state")


def test_a_clip_is_asked_everything(open_page, media, tmp_path):
  page = open_page(viewport={"width": 1280, "height": 860})
  assert page.is_disabled("#ask")
  _choose(page, media, "shown.mp4")
  page.wait_for_function("() => document.querySelector('video').duration > 3")
  page.fill("#question", "How many bells?")
  page.click("#ask")
  assert _answered(page) == "Done."
  names = page.eval_on_selector_all(".card", "cards => cards.map(c => c.id)")
  assert len(names) == 16 and "card-ave" in names
  assert page.inner_text("#card-ave .answer") == "Church bell 0–8\u00a0s"
  assert page.inner_text("#card-ks .said") == "I see hands, I hear strings."
  assert "tokens" in page.inner_text("#card-ks small")
  # The span of the event seeks, and its lane lights up.
  page.evaluate("document.querySelector('video').currentTime = 2")
  page.click(".span")
  page.wait_for_function(
    "() => document.querySelector('video').currentTime === 0"
  )
  page.wait_for_selector(".lane.on")
  assert "Church bell" in page.inner_text(".lane.on > span")
  # The box is drawn, and vanishes with its switch.
  assert _pixels(page) > 100
  page.uncheck("#boxes")
  assert _pixels(page) == 0
  page.check("#boxes")
  page.focus("#timeline")
  page.keyboard.press("ArrowRight")
  page.wait_for_function(
    "() => document.querySelector('video').currentTime === 1"
  )
  page.screenshot(path=tmp_path / "desktop.png")


def test_a_mask_is_drawn_over_the_frame(
  open_page, media, listening, monkeypatch
):
  """The left half of the frame, as runs down the columns."""
  half = {"size": [224, 224], "counts": [0, 112 * 224, 112 * 224]}
  monkeypatch.setattr(listening.service, "masks", lambda answer: half)
  page = open_page(viewport={"width": 1280, "height": 860})
  _choose(page, media, "shown.mp4")
  page.get_by_label("s4", exact=True).check(force=True)
  page.click("#ask")
  assert _answered(page) == "Done."
  width, height = page.evaluate(
    "(c => [c.width, c.height])(document.querySelector('#overlay'))"
  )
  # The clip is twice as wide as high, and the stage 16 : 9.
  assert _pixels(page) == pytest.approx(width * width / 4, rel=0.03)
  assert width * width / 4 < width * height / 2


def _pixels(page):
  """Pixels that are drawn over the frame."""
  return page.evaluate(
    """() => {
      const canvas = document.querySelector("#overlay");
      const { width, height } = canvas;
      const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
      return data.filter((value, i) => i % 4 === 3 && value).length;
    }"""
  )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_schemes(open_page, media, scheme, tmp_path):
  page = open_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
  _choose(page, media, "shown.mp4")
  page.get_by_label("ave", exact=True).check(force=True)
  page.get_by_label("arig", exact=True).check(force=True)
  page.click("#ask")
  assert _answered(page) == "Done."
  assert page.evaluate("document.documentElement.scrollWidth") <= 360
  colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
  brightness = sum(map(int, colour[4:-1].split(",")))
  assert (brightness < 200) == (scheme == "dark")
  page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)


def test_two_candidates_are_compared(open_page, media, listening, tmp_path):
  page = open_page(viewport={"width": 1280, "height": 860})
  _choose(page, media, "shown.mp4", "a.wav")
  chip = page.locator(".chip", has=page.get_by_label("a2v", exact=True))
  assert "it needs a second video" in chip.get_attribute("title")
  second = {"mimeType": "video/mp4", "buffer": media["clip.mp4"]}
  page.set_input_files("#other", [{"name": "other.mp4", **second}])
  assert not chip.get_attribute("title")
  one = page.locator(".chip", has=page.get_by_label("ave", exact=True))
  assert "about one clip, without a second" in one.get_attribute("title")
  page.click("#ask")
  assert _answered(page) == "Done."
  names = page.eval_on_selector_all(".card", "cards => cards.map(c => c.id)")
  assert names == ["card-a2v"]
  (job,) = listening.engine.jobs[-1:]
  assert len(job.sample["frames"]) == 10  # pairs, of two videos
  page.screenshot(path=tmp_path / "compared.png")
  page.click("#alone")
  assert "it needs a second video" in chip.get_attribute("title")
  assert not one.get_attribute("title")


def test_a_failure_is_said_in_words(open_page, media):
  page = open_page()
  _choose(page, media, "p.png")
  assert "it needs audio" in page.get_attribute(".chip.misfit", "title")
  assert page.is_hidden("#retry")
  page.click("#ask")
  assert "send the sound" in _answered(page)
  said = page.evaluate(
    """() => {
      document.querySelector("#retry").click();
      return document.querySelector("#state").textContent;
    }"""
  )
  assert "Failed" not in said  # it is asked anew
  assert "send the sound" in _answered(page)


def test_what_ends_a_stream_is_said_and_asked_again(
  open_page, media, monkeypatch
):
  async def ends(*_):
    yield streaming.event({"event": "waiting", "ahead": 0})
    raise failures.draining()

  page = open_page()
  _choose(page, media, "shown.mp4")
  page.get_by_label("ave", exact=True).check(force=True)
  with monkeypatch.context() as changed:
    changed.setattr(clips, "stream", ends)
    page.click("#ask")
    assert failures.draining().message in _answered(page)
  page.click("#retry")
  page.wait_for_selector("#card-ave .answer")
  assert _answered(page) == "Done."
  assert page.is_hidden("#retry")


def test_an_answer_that_failed_is_asked_again(
  open_page, media, listening, monkeypatch
):
  """The other answers stay."""
  engine, submit = listening.engine, listening.engine.submit
  failing = [True]

  def fails_once(job):
    if engine.text(job) == doubles.TEXTS["ave"] and failing:
      failing.clear()
      job.on_event(interface.Finished(interface.Reason.ERROR))
      return doubles.Handle()
    return submit(job)

  monkeypatch.setattr(engine, "submit", fails_once)
  page = open_page(viewport={"width": 1280, "height": 860})
  _choose(page, media, "shown.mp4")
  page.get_by_label("ave", exact=True).check(force=True)
  page.get_by_label("ks", exact=True).check(force=True)
  page.click("#ask")
  page.wait_for_selector("#card-ave.failed")
  page.wait_for_selector("#card-ks .answer")
  page.wait_for_selector("#ask:not([disabled])")
  page.get_by_role("button", name="Ask again").click()
  page.wait_for_selector("#card-ave .answer")
  assert page.locator(".card").count() == 2
  assert page.locator(".lane").count() == 1


def test_a_drawn_clip_is_asked_and_its_picture_saved(open_page, tmp_path):
  page = open_page(viewport={"width": 1280, "height": 860})
  page.screenshot(path=tmp_path / "empty.png")
  page.get_by_role("button", name="a band", exact=True).click()
  page.wait_for_function("() => document.querySelector('video').duration > 9")
  page.screenshot(path=tmp_path / "drawn.png")
  assert page.is_hidden("#picture") and page.is_hidden("#samples")
  page.get_by_label("arig", exact=True).check(force=True)
  page.click("#ask")
  assert _answered(page) == "Done."
  # It is faint where the video is elsewhere than what was asked about.
  page.get_by_role("button", name="→").click()
  page.wait_for_function(
    """() => {
      const { currentTime, seeking } = document.querySelector("video");
      return currentTime > 0 && !seeking;
    }"""
  )
  with page.expect_download() as found:
    page.click("#picture")
  path = tmp_path / "clip.png"
  found.value.save_as(path)
  with PIL.Image.open(path) as picture:
    pixels = np.asarray(picture.convert("RGB")).astype(int)
  assert pixels.shape == (224, 224, 3)
  # Its box, [10, 20, 100, 200], in the colour of what is said.
  edge = pixels[60:160, 10]
  assert np.abs(edge - [184, 50, 128]).max(1).mean() < 40


def test_it_works_without_streams(open_page, media, listening):
  page = open_page()
  page.goto(f"{listening.url}/?stream=0")
  page.wait_for_selector("text=all that fit")
  _choose(page, media, "shown.mp4")
  page.click("#ask")
  assert _answered(page) == "Done."
  assert page.inner_text("#card-ks .answer") == "playing guitar"
  assert doubles.TEXTS["ks"].startswith(page.inner_text("#card-ks .said"))
