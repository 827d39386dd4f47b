"""Where tickets go, from the environment."""

import base64

import pytest

from maestro_runtime.config import SettingInvalid
from maestro_runtime.config.tickets import JiraSettings, WebhookSettings, resolve_ticket_settings
from maestro_runtime.redaction import Secret

SECRET = "whsec_" + base64.b64encode(bytes(24)).decode()
WEBHOOK = {
    "MAESTRO_TICKET_SINK": "webhook",
    "MAESTRO_WEBHOOK_URL": "https://example.org/in?key=1",
    "MAESTRO_WEBHOOK_SECRET": SECRET,
}
JIRA = {
    "MAESTRO_TICKET_SINK": "jira",
    "MAESTRO_JIRA_URL": "https://example.org/jira",
    "MAESTRO_JIRA_EMAIL": "me@example.org",
    "MAESTRO_JIRA_TOKEN": "t0ken",
    "MAESTRO_JIRA_PROJECT": "OPS",
}


def test_without_a_setting_tickets_are_files() -> None:
    assert resolve_ticket_settings({}) is None
    assert resolve_ticket_settings({"MAESTRO_TICKET_SINK": "file"}) is None


def test_each_sink_takes_its_own_variables_and_shows_no_secret() -> None:
    webhook = resolve_ticket_settings(WEBHOOK)
    jira = resolve_ticket_settings(JIRA)

    assert webhook == WebhookSettings(Secret("https://example.org/in?key=1"), Secret(SECRET))
    assert jira == JiraSettings(
        "https://example.org/jira", "me@example.org", Secret("t0ken"), "OPS"
    )
    assert SECRET not in repr(webhook)
    assert "key=1" not in repr(webhook)
    assert "t0ken" not in repr(jira)


URL_RULE = "an https URL without user or fragment (http only to this machine)"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/in",
        "https://user:pass@example.org/",
        "https://example.org/#part",
        "ftp://example.org/",
        "https:///in",
        "https://example.org:port/",
        "https://example.org/\nx",
    ],
)
def test_an_url_that_could_leak_a_ticket_is_refused_unseen(url: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        resolve_ticket_settings({**WEBHOOK, "MAESTRO_WEBHOOK_URL": url})

    assert str(caught.value) == (
        f"environment MAESTRO_WEBHOOK_URL must be {URL_RULE}, got 'a value that is not shown'"
    )


@pytest.mark.parametrize("url", ["http://localhost:80/in", "http://127.0.0.1/", "http://[::1]:8/"])
def test_this_machine_may_be_asked_without_encryption(url: str) -> None:
    settings = resolve_ticket_settings({**WEBHOOK, "MAESTRO_WEBHOOK_URL": url})

    assert isinstance(settings, WebhookSettings)
    assert settings.url == url


@pytest.mark.parametrize("secret", ["", "whsec_", "plain", "whsec_!!!!", "whsec_c2hvcnQ="])
def test_a_webhook_secret_must_be_one(secret: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        resolve_ticket_settings({**WEBHOOK, "MAESTRO_WEBHOOK_SECRET": secret})

    assert str(caught.value) == (
        'environment MAESTRO_WEBHOOK_SECRET must be "whsec_" and 24 to 64 bytes in base64, '
        f"got {'a value that is not shown' if secret else ''!r}"
    )


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        (
            "MAESTRO_TICKET_SINK",
            "mail",
            'environment MAESTRO_TICKET_SINK must be "file", "webhook" or "jira", got \'mail\'',
        ),
        (
            "MAESTRO_JIRA_TOKEN",
            "",
            "environment MAESTRO_JIRA_TOKEN must be an API token, got ''",
        ),
        (
            "MAESTRO_JIRA_PROJECT",
            'X" OR 1',
            (
                "environment MAESTRO_JIRA_PROJECT must be the key of a project, as in OPS, "
                "got 'X\" OR 1'"
            ),
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said(variable: str, value: str, text: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        resolve_ticket_settings({**JIRA, variable: value})

    assert str(caught.value) == text
