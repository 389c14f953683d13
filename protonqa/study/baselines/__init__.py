"""Estimators of range from activity that stand beside the model in every table of the study.

`catalogue` lists them, `interface` says what they take and give back, `cramer_rao` how well any of them could do.
Nothing is imported here.
"""
