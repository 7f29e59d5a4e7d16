"""Audits of labels: pages, tables and files of what confident learning found."""
