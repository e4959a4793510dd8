"""Answer "what should I use here" for each board and task, in one sentence that every report and command shares."""

from tunebench.reports.analysis.answers.answer import Answer, Regressed, State, answer_lines, answers

__all__ = ["Answer", "Regressed", "State", "answer_lines", "answers"]
