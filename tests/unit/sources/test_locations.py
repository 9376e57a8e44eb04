"""What is secret in a URL is taken out of it, whatever is in it; paths stay as they are."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image
from napari_restore.sources.described import explaining
from napari_restore.sources.locations import access_of, has_secrets, text_without_secrets, without_secrets

WORDS = st.text(min_size=1, max_size=12)
HOSTS = st.sampled_from(["host", "host:8080", "a.b-c.org", "[::1]", "[::1]:80", "127.0.0.1:1"])


@given(HOSTS, st.sampled_from(["http", "https", "HTTPS"]), WORDS, WORDS, WORDS, st.booleans())
def test_user_password_and_query_are_hidden_and_found_again(host, scheme, user, password, token, both):
    try:
        [quote(word, safe="") for word in (user, password, token)]
    except UnicodeEncodeError:  # lone surrogates
        return
    plain = f"{scheme}://{host}/a@b/x y.zarr"
    names = f"{quote(user, safe='')}:{quote(password, safe='')}@" if both else ""
    url = f"{scheme}://{names}{host}/a@b/x y.zarr?token={quote(token, safe='')}#part"
    assert without_secrets(url) == plain
    assert without_secrets(plain) == plain
    assert has_secrets(url) and not has_secrets(plain)
    access = access_of(url)
    assert access["params"] == [("token", token)]
    assert ("headers" in access) == both
    assert access_of(plain) == {}


@pytest.mark.parametrize("path", ["a/b?c=d", "C:\\x@y", "/home/a@b/x#1.tif", "", "a:b@c", "x.zarr?token=1"])
def test_paths_are_no_urls(path):
    assert without_secrets(path) == path


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://AKIA1:ab/cd+ef@bucket/x.zarr", "s3://***"),
        ("https://u:p/w@host/x.zarr", "https://***"),
        ("https://u:p?w@host/x.zarr", "https://***"),
        ("https://u:p#w@host/x.zarr", "https://***"),
        ("s3://AKIA1:12/w@bucket/x.zarr", "s3://***"),
        ("https://u:p@w@host/x.zarr", "https://host/x.zarr"),
        ("https://token@host/x.zarr", "https://host/x.zarr"),
        ("s3://key:secret@bucket/x.zarr", "s3://bucket/x.zarr"),
        ("abfs://container@account.net/x.zarr", "abfs://container@account.net/x.zarr"),
        ("abfs://key:secret@account.net/x.zarr", "abfs://account.net/x.zarr"),
        ("ftp://u:p@host/x.zarr", "ftp://host/x.zarr"),
    ],
)
def test_passwords_pasted_as_they_are(url, shown):
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:hunter2@bucket/x.zarr", r"s3://bucket/x\.zarr: a user, .* AWS_ACCESS_KEY_ID"),
        ("s3://bucket/x.zarr?token=hunter2", r"s3://bucket/x\.zarr: a user, .* AWS_ACCESS_KEY_ID"),
        ("s3://key:hun/ter2@bucket/x.zarr", r"s3://\*\*\*: a user"),
        ("https://u:hunter2/@host/x.zarr", r"https://\*\*\*: the URL cannot be taken apart.*%2F"),
        ("ftp://u:hunter2@host/x.zarr", r"ftp://host/x\.zarr: ftp:// is not supported"),
        ("https://u:hunter2@[bad/x.zarr", r"https://\[bad/x\.zarr cannot be read"),
    ],
)
def test_urls_that_cannot_be_used_are_refused_without_their_secrets(url, said):
    with pytest.raises(ImageError, match=said) as caught:
        open_image(url)
    assert "hunter2" not in str(caught.value) and "ter2" not in str(caught.value)


def test_texts_of_libraries_lose_the_secrets_of_their_urls():
    text = "GET 'https://u:p@host/x.zarr/c/0?token=1' failed, then s3://k:s@b/y, then /a?b"
    assert text_without_secrets(text) == "GET 'https://host/x.zarr/c/0 failed, then s3://b/y, then /a?b"
    with pytest.raises(ImageError, match=r"x: no https://host/x\?? ?\(OSError\)") as caught, explaining("x"):
        raise OSError("no https://u:p@host/x?token=1")
    assert "token" not in str(caught.value)
