"""`/findings/`: what scans have found, over all hosts and over time."""

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.findings import lists as finding_lists
from vulsweb.findings.lists import COUNT_LIMIT, Filter, NoSuchFinding, Page, Sort
from vulsweb.hosts import inventory
from vulsweb.views import forms, words
from vulsweb.views.finding_address import FindingList, finding_list
from vulsweb.vuls.results import Severity

PER_PAGE = 50
HOSTS_OFFERED = 200

bp = Blueprint("findings", __name__, url_prefix="/findings")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the findings that the filter leaves in."""
    wanted = finding_list(request.args, words.reader_zone())
    found = _stretch(wanted.filter, wanted.sort)
    return render_template(
        "findings/index.html",
        wanted=wanted,
        found=found,
        count=finding_lists.count(wanted.filter),
        counted=COUNT_LIMIT,
        hosts=inventory.names_containing("", HOSTS_OFFERED),
        severities=Severity,
        scanned=bool(found.findings) or finding_lists.has_results(),
    )


@bp.get("/<path:cve_id>")
@login_required
def show(cve_id: str) -> ResponseReturnValue:
    """Show one CVE: which hosts have it, in which packages, since when."""
    cve = finding_lists.get_cve(cve_id) if "\x00" not in cve_id else None
    if cve is None:
        abort(404)
    # With nothing open any more, those that are fixed are what there is to see.
    fixed = request.args.get("status") == "fixed" or not cve.open
    wanted = FindingList(fixed, (), "", None, "", Sort.HOST, words.reader_zone())
    found = _stretch(Filter(fixed=fixed, cve_id=cve_id), wanted.sort)
    return render_template("findings/show.html", cve=cve, wanted=wanted, found=found)


def _stretch(wanted: Filter, sort: Sort) -> Page:
    """Return the stretch that the address asks for; beside a finding that is gone, the first one."""
    place = forms.place(request.args)
    try:
        return finding_lists.page(wanted, sort, limit=PER_PAGE, **place)
    except NoSuchFinding:
        return finding_lists.page(wanted, sort, limit=PER_PAGE)
