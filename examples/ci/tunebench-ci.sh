# One CI job of tunebench, for GitHub (action.yml) and GitLab (tunebench.gitlab-ci.yml). Everything comes from variables, and
# none is put into a command line by text: a label or a branch may say anything.
#
#   TUNEBENCH_INVENTORY  the lab's boards (needed)
#   TUNEBENCH_SUITE      default: nightly
#   TUNEBENCH_STORE      results root on the runner's disk, outside the workspace; default: results
#   TUNEBENCH_BASELINE   pinned build to confirm against; empty: none
#   TUNEBENCH_SHARED     parquet:///DIR or postgres://HOST/DB: the night is pushed there, too; empty: nowhere
#   TUNEBENCH_LABELS     labels of the pull request: a JSON list or words with commas; empty: no pull request
#   TUNEBENCH_PULL       true on a pull request
#   TUNEBENCH_SUMMARY    folder for report.html and the Markdown; default: tunebench-summary
#
# A night goes into the store and is judged. A pull request does not: its run lies in the workspace, is reported, and runs
# only on the boards that one label chooses, e.g. `tunebench:pi5-*`; without such a label nothing is run.
set -euo pipefail

suite=${TUNEBENCH_SUITE:-nightly} store=${TUNEBENCH_STORE:-results} summary=${TUNEBENCH_SUMMARY:-tunebench-summary}
: "${TUNEBENCH_INVENTORY:?names the lab\'s boards, e.g. /srv/tunebench/lab.toml}"
mkdir -p "$summary"

if [ "${TUNEBENCH_PULL:-false}" = true ]; then
    chosen=$(python3 -c '
import json, os
text = os.environ.get("TUNEBENCH_LABELS", "")
try:
    labels = json.loads(text)
except ValueError:
    labels = text.split(",")
marks = [str(label).strip() for label in labels or [] if str(label).strip().startswith("tunebench:")]
print("\n".join(mark.removeprefix("tunebench:") for mark in marks))')
    if [ -z "$chosen" ]; then
        echo 'tunebench: no label tunebench:BOARDS on this pull request, e.g. tunebench:pi5-*; nothing is measured'
        exit 0
    fi
    if [ "$(wc -l <<<"$chosen")" -gt 1 ]; then
        echo 'tunebench: several labels tunebench:BOARDS; one chooses the boards, e.g. tunebench:pi5-*' >&2
        exit 2
    fi
    code=0
    tunebench run --inventory "$TUNEBENCH_INVENTORY" --suite "$suite" "--boards=$chosen" --out tunebench-results || code=$?
    if [ -d tunebench-results ]; then
        tunebench report tunebench-results --html "$summary/report.html" || true
        tunebench report tunebench-results --format md >"$summary/report.md" || true
        # A night writes its own summary into the job's page.
        if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat "$summary/report.md" >>"$GITHUB_STEP_SUMMARY"; fi
    fi
    exit "$code"
fi

words=(--inventory "$TUNEBENCH_INVENTORY" --suite "$suite" --store "$store" --summary "$summary")
if [ -n "${TUNEBENCH_BASELINE:-}" ]; then words+=(--baseline "$TUNEBENCH_BASELINE"); fi
code=0
tunebench nightly "${words[@]}" || code=$?
# Whatever the verdict: what was measured is shared. A store that is away makes a green night infrastructure, not red.
if [ -n "${TUNEBENCH_SHARED:-}" ]; then
    pushed=0
    tunebench push "$TUNEBENCH_SHARED" "$store" || pushed=$?
    if [ "$code" = 0 ]; then code=$pushed; fi
fi
exit "$code"
