"""hftbacktest 2.4.4 with dense vector depth ("ROI"), its fastest."""
