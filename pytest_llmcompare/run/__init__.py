"""One pytest run: expands markers, drives the session, reports."""
