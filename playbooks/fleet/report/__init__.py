"""The report of a run: one self-contained HTML file made from the run's folder of results.

Only :mod:`fleet.report.charts` and :mod:`fleet.report.svg` import matplotlib, so that reading a run's
folder (:mod:`fleet.report.load`) stays quick.
"""
