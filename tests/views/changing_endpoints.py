"""Every page and call that changes something: how it is used, and the entry that it leaves."""

from collections.abc import Callable

from werkzeug.test import TestResponse

from tests.conftest import PASSWORD
from tests.views.audit_cast import (
    CONFIG,
    NEW_PASSWORD,
    PUBLIC,
    SECRET_URL,
    Cast,
    add_key,
    enter_code,
    enter_with_key,
    make_key,
    private_key,
    remove_key,
    rule,
    switch_off,
    switch_on,
)

# They show something, and change nothing.
CHANGES_NOTHING = {
    "account_passkeys.begin_adding",
    "account_passkeys.begin_signing_in",
    "ssh_config.check",
    "ssh_config.fix",
    "ssh_config.preview",
}

TASK_FORM = {
    "name": "weekly",
    "task_type": "db_update",
    "database_type": "nvd",
    "cron_expression": "0 2 * * 0",
    "timezone": "UTC",
    "is_active": "on",
}
TASK_BODY = {
    "name": "weekly",
    "task_type": "db_update",
    "config": {"database_type": "nvd"},
    "cron_expression": "0 2 * * 0",
}
MAIL = {
    "name": "post",
    "server": "mail.example.org",
    "port": "587",
    "security": "starttls",
    "user": "eve",
    "password": "secret-word",
    "sender": "vuls@example.org",
    "to": "team@example.org",
}
SETTINGS = {"name": "crew", "active": "on", "timezone": "UTC", "digest": "never", "digest_weekday": "1"}

# For each endpoint: how it is used, and the entry that has to be there.
PAGES: dict[str, tuple[Callable[[Cast], TestResponse], str]] = {
    "auth.enter": (
        lambda c: c.app.test_client().post("/sign-in", data={"name": "admin", "password": PASSWORD}),
        "signed_in user admin",
    ),
    "auth.sign_out": (lambda c: c.post("/sign-out"), "signed_out user admin"),
    "account.change_timezone": (
        lambda c: c.post("/account/timezone", timezone="Europe/London"),
        "changed user admin",
    ),
    "account.change_password": (
        lambda c: c.post("/account/password", current=PASSWORD, password=NEW_PASSWORD),
        "changed user admin",
    ),
    "account.create_token": (
        lambda c: c.post("/account/tokens", name="laptop", confirm=PASSWORD, scope="read", days="30"),
        "added token laptop",
    ),
    "account.revoke_token": (
        lambda c: c.post(f"/account/tokens/{c.token(c.admin)}/revoke"),
        "deleted token laptop",
    ),
    "account.end_session": (
        lambda c: c.post(f"/account/sessions/{c.session(c.admin)}/end"),
        "signed_out user admin",
    ),
    "account.end_other_sessions": (
        lambda c: (c.session(c.admin), c.post("/account/sessions/end-others"))[1],
        "signed_out user admin",
    ),
    "account_second_factor.switch_on": (switch_on, "changed user admin"),
    "account_second_factor.switch_off": (switch_off, "changed user admin"),
    "account_second_factor.enter": (enter_code, "signed_in user admin"),
    "account_passkeys.add": (add_key, "added passkey laptop"),
    "account_passkeys.remove": (remove_key, "deleted passkey laptop"),
    "account_passkeys.enter": (enter_with_key, "signed_in user admin"),
    "users.create": (
        lambda c: c.post("/people/", name="otto", password=NEW_PASSWORD, role="operator"),
        "added user otto",
    ),
    "users.change_role": (
        lambda c: c.post(f"/people/{c.other().id}/role", role="operator"),
        "changed user otto",
    ),
    "users.delete": (lambda c: c.post(f"/people/{c.other().id}/delete"), "deleted user otto"),
    "users.sign_out": (
        lambda c: (c.session(user := c.other()), c.post(f"/people/{user.id}/sign-out"))[1],
        "signed_out user otto",
    ),
    "users.second_factor_off": (
        lambda c: (c.with_codes(user := c.other()), c.post(f"/people/{user.id}/second-factor-off"))[1],
        "changed user otto",
    ),
    "users.revoke_token": (
        lambda c: c.post(f"/people/tokens/{c.token(c.other())}/revoke"),
        "deleted token laptop",
    ),
    "tasks.create": (lambda c: c.post("/tasks/", **TASK_FORM), "added task weekly"),
    "tasks.bulk": (
        lambda c: c.post("/tasks/bulk", ids=c.task().id, action="deactivate"),
        "changed task task 1",
    ),
    "tasks.change": (lambda c: c.post(f"/tasks/{c.task().id}", **TASK_FORM), "changed task weekly"),
    "tasks.delete": (lambda c: c.post(f"/tasks/{c.task().id}/delete"), "deleted task task 1"),
    "task_pings.save": (
        lambda c: c.post(f"/tasks/{c.task().id}/ping", url="https://hc.example.org/secret-word"),
        "changed task task 1",
    ),
    "tasks.run": (lambda c: c.post(f"/tasks/{c.task().id}/run"), "started run task 1"),
    "runs.cancel": (lambda c: c.post(f"/runs/{c.run_id()}/cancel"), "cancelled run task 1"),
    "hosts.sync": (
        lambda c: (c.write_config_toml(), c.post("/hosts/sync"))[1],
        "synced hosts Hosts: 1 created, 0 updated, 0 retired, 0 unchanged.",
    ),
    "hosts.bulk": (
        lambda c: c.post("/hosts/bulk", ids=c.make_host().id, action="tag", tag="dmz"),
        "changed host web-1",
    ),
    "hosts.describe": (
        lambda c: c.post(f"/hosts/{c.make_host().id}", tags="dmz", notes="in the cellar"),
        "changed host web-1",
    ),
    "connection_tests.start": (
        lambda c: c.post(f"/hosts/{c.make_host().id}/test"),
        "tested host web-1",
    ),
    "ssh_config.save": (
        lambda c: c.post("/ssh-config/", content=CONFIG, version="0"),
        "added ssh_config Version 1",
    ),
    "ssh_config.restore": (
        lambda c: (
            c.save_config(),
            c.post("/ssh-config/", content="", version="1"),
            c.post("/ssh-config/versions/1/restore", version="2"),
        )[2],
        "added ssh_config Version 3",
    ),
    "keys.generate": (lambda c: c.post("/keys/generate", name="scanner"), "added ssh_key scanner"),
    "keys.upload": (
        lambda c: c.post("/keys/", name="mine", private_key=private_key(c)),
        "added ssh_key mine",
    ),
    "keys.delete": (lambda c: c.post(f"/keys/{make_key(c)}/delete"), "deleted ssh_key scanner"),
    "keys.fetch": (
        lambda c: c.post("/known-hosts/fetch", hostname="web-1", port="22"),
        "started known_host web-1",
    ),
    "keys.paste": (
        lambda c: c.post("/known-hosts/paste", hostname="web-1", port="22", lines=f"web-1 {PUBLIC}"),
        "started known_host web-1",
    ),
    "keys.accept": (
        lambda c: c.post(f"/known-hosts/offers/{c.offer().id}/accept"),
        "added known_host web-1",
    ),
    "keys.remove": (lambda c: c.post(f"/known-hosts/{c.known().id}/remove"), "deleted known_host web-1"),
    "notifications.create_mail": (lambda c: c.post("/notifications/mail", **MAIL), "added channel post"),
    "notifications.create_service": (
        lambda c: c.post("/notifications/service", name="chat", url=SECRET_URL),
        "added channel chat",
    ),
    "notifications.edit": (
        lambda c: c.post(f"/notifications/{c.channel()}", **SETTINGS),
        "changed channel crew",
    ),
    "notifications.change_address": (
        lambda c: c.post(f"/notifications/{c.channel()}/address", url=f"{SECRET_URL}/new"),
        "changed channel team",
    ),
    "notifications.test": (lambda c: c.post(f"/notifications/{c.channel()}/test"), "tested channel team"),
    "notifications.send_again": (
        lambda c: c.post(f"/notifications/{c.channel()}/again"),
        "sent_again channel team",
    ),
    "notifications.add_rule": (
        lambda c: c.post(f"/notifications/{c.channel()}/rules", kinds="run_failed"),
        "added rule team",
    ),
    "notifications.edit_rule": (lambda c: c.post(rule(c), kinds="run_failed"), "changed rule team"),
    "notifications.delete_rule": (lambda c: c.post(f"{rule(c)}/delete"), "deleted rule team"),
    "notifications.delete": (
        lambda c: c.post(f"/notifications/{c.channel()}/delete"),
        "deleted channel team",
    ),
}
CALLS: dict[str, tuple[Callable[[Cast], TestResponse], str]] = {
    "api_scheduled_tasks.create": (
        lambda c: c.api.post("/api/scheduled-tasks/", json=TASK_BODY),
        "added task weekly",
    ),
    "api_scheduled_tasks.update": (
        lambda c: c.api.put(f"/api/scheduled-tasks/{c.task().id}", json=TASK_BODY),
        "changed task weekly",
    ),
    "api_scheduled_tasks.patch": (
        lambda c: c.api.patch(f"/api/scheduled-tasks/{c.task().id}", json={"name": "weekly"}),
        "changed task weekly",
    ),
    "api_scheduled_tasks.delete": (
        lambda c: c.api.delete(f"/api/scheduled-tasks/{c.task().id}"),
        "deleted task task 1",
    ),
    "api_scheduled_tasks.run": (
        lambda c: c.api.post(f"/api/scheduled-tasks/{c.task().id}/run"),
        "started run task 1",
    ),
    "api_runs.cancel": (lambda c: c.api.post(f"/api/runs/{c.run_id()}/cancel"), "cancelled run task 1"),
    "api_hosts.sync": (
        lambda c: (c.write_config_toml(), c.api.post("/api/hosts/sync-from-vuls-config"))[1],
        "synced hosts Hosts: 1 created, 0 updated, 0 retired, 0 unchanged.",
    ),
    "api_hosts.describe": (
        lambda c: c.api.patch(f"/api/hosts/{c.make_host().id}", json={"tags": ["dmz"]}),
        "changed host web-1",
    ),
    "api_hosts.test_connection": (
        lambda c: c.api.post(f"/api/hosts/{c.make_host().id}/connection-test"),
        "tested host web-1",
    ),
    "api_ssh_config.update": (
        lambda c: c.api.put("/api/ssh-config", json={"content": CONFIG}, headers={"If-Match": "*"}),
        "added ssh_config Version 1",
    ),
    "api_keys.upload": (
        lambda c: c.api.post("/api/keys", json={"name": "mine", "private_key": private_key(c)}),
        "added ssh_key mine",
    ),
    "api_keys.generate": (
        lambda c: c.api.post("/api/keys/generate", json={"name": "scanner"}),
        "added ssh_key scanner",
    ),
    "api_keys.delete": (lambda c: c.api.delete(f"/api/keys/{make_key(c)}"), "deleted ssh_key scanner"),
    "api_keys.offer": (
        lambda c: c.api.post("/api/known-hosts/offers", json={"hostname": "web-1"}),
        "started known_host web-1",
    ),
    "api_keys.accept": (
        lambda c: c.api.post(f"/api/known-hosts/offers/{c.offer().id}/accept"),
        "added known_host web-1",
    ),
    "api_keys.remove": (
        lambda c: c.api.delete(f"/api/known-hosts/{c.known().id}"),
        "deleted known_host web-1",
    ),
}
