"""The vulnerability feeds' stand-in for machines without internet: real facts, served locally."""
