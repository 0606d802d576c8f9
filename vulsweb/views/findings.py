"""`/findings/`: the findings of all hosts, open and fixed."""

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import login_required

from vulsweb.findings import lists as finding_lists
from vulsweb.findings.lists import COUNT_LIMIT, Filter, NoSuchFinding, Page, Sort
from vulsweb.hosts import inventory
from vulsweb.views import filters, finding_query, forms
from vulsweb.views.finding_query import FindingQuery
from vulsweb.vuls.results import Severity

PER_PAGE = 50
HOSTS_OFFERED = 200

bp = Blueprint("findings", __name__, url_prefix="/findings")


@bp.get("/")
@login_required
def index() -> ResponseReturnValue:
    """List the findings that match the filter."""
    query = finding_query.parse(request.args, filters.reader_zone())
    page = _page(query.filter, query.sort)
    return render_template(
        "findings/index.html",
        query=query,
        page=page,
        count=finding_lists.count(query.filter),
        count_limit=COUNT_LIMIT,
        hosts=inventory.names_containing("", HOSTS_OFFERED),
        severities=Severity,
        scanned=bool(page.findings) or finding_lists.has_results(),
    )


@bp.get("/<path:cve_id>")
@login_required
def show(cve_id: str) -> ResponseReturnValue:
    """Show one CVE and the hosts that have it, or had it."""
    cve = finding_lists.get_cve(cve_id) if "\x00" not in cve_id else None
    if cve is None:
        abort(404)
    # If no host has it any more, show the hosts where it is fixed.
    fixed = request.args.get("status") == "fixed" or not cve.open
    query = FindingQuery(fixed, (), "", None, "", Sort.HOST, filters.reader_zone())
    page = _page(Filter(fixed=fixed, cve_id=cve_id), query.sort)
    return render_template("findings/show.html", cve=cve, query=query, page=page)


def _page(wanted: Filter, sort: Sort) -> Page:
    """Return the requested page.

    If the finding at which it starts is gone, return the first page.
    """
    try:
        return finding_lists.page(wanted, sort, limit=PER_PAGE, **forms.cursor(request.args))
    except NoSuchFinding:
        return finding_lists.page(wanted, sort, limit=PER_PAGE)
