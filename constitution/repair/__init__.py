"""Answers edited by rule, and beginnings of answers, that pass machine checks which no draft passes."""
