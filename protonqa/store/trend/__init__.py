"""Trends: control charts of what the store holds, with rules whose false alarms are stated."""
