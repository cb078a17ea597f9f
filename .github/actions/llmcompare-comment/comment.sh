#!/usr/bin/env bash
# Writes a report into the comment of a pull request that has our marker, or into a new one. A comment that cannot be
# written is a warning: the job summary has the same report, and whether the job fails is up to pytest.
set -euo pipefail

if [ -z "$PULL_REQUEST" ]; then
  echo "No pull request, so no comment."
  exit 0
fi
if [ ! -s "$REPORT" ]; then
  echo "::warning title=model comparison::No comment: there is no report $REPORT. Run pytest with --llm-report=$REPORT"
  exit 0
fi

body=$(mktemp)
answer=$(mktemp)
trap 'rm -f "$body" "$answer"' EXIT
marker="<!-- pytest-llmcompare: ${KEY//[^A-Za-z0-9._-]/-} -->"
fence='```'
{
  echo "$marker"
  cat "$REPORT"
  if [ -n "$ARTIFACT_URL" ]; then
    printf '\n[The whole report, to look at, and the outputs to accept](%s)\n' "$ARTIFACT_URL"
  fi
  if [ -n "$ARTIFACT" ] && [ -s .llmcompare/pending.jsonl ]; then
    printf '\nAccept these outputs, with the branch checked out:\n\n%ssh\n' "$fence"
    echo "gh run download $GITHUB_RUN_ID --name $ARTIFACT --dir from-ci && llmcompare accept --all --from from-ci/.llmcompare/pending.jsonl"
    echo "$fence"
  fi
  printf '\n<sub>Commit %s</sub>\n' "$GITHUB_SHA"
} > "$body"

comments="repos/$GITHUB_REPOSITORY/issues"
ours=".[] | select(.user.login == env.AUTHOR and (.body | startswith(env.MARKER))) | .id"
if ! MARKER="$marker" gh api --paginate "$comments/$PULL_REQUEST/comments" --jq "$ours" > "$answer"; then
  echo "::warning title=model comparison::No comment: the comments could not be read. Give the job pull-requests: write"
  exit 0
fi
comment=$(head -n 1 "$answer")
if [ -n "$comment" ]; then
  request=(--method PATCH "$comments/comments/$comment")
else
  request=(--method POST "$comments/$PULL_REQUEST/comments")
fi
if ! gh api "${request[@]}" --field "body=@$body" --silent; then
  echo "::warning title=model comparison::The comment could not be written. Give the job pull-requests: write"
fi
