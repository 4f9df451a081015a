"""`make bench`: measures, each beside its real peer in the same run. Prints ratios; decides no test."""
