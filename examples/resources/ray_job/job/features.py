"""Counts the days of a month on the cluster's workers."""

import argparse
import datetime

import ray

parser = argparse.ArgumentParser()
parser.add_argument("--day", type=datetime.date.fromisoformat, required=True)
day = parser.parse_args().day


@ray.remote
def weekday(date):
    return date.strftime("%A")


ray.init(log_to_driver=False)
month = [day.replace(day=d) for d in range(1, 29)]
names = ray.get([weekday.remote(date) for date in month])
print(f"{day:%B} {day.year} has {names.count('Monday')} Mondays in its first 28 days")
